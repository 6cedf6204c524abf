//! Text and addresses in, verdicts out: the policy of one sandbox.
#![forbid(unsafe_code)]
