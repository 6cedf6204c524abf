//! What runs out, what stands still and what panics: each ends by itself, and the others go on.

mod panics;
mod resources;
mod shutdown;
mod silence;
