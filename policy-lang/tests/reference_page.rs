//! Every example of `reference.md` compiles without a warning, and its `expect` lines hold.

use policy_lang::{
    config::Document,
    language::{File, FileKind, Source},
};

fn load(kind: FileKind, name: &str, _: &str) -> Result<Source, String> {
    let text = match kind {
        FileKind::Policy => "default deny\n",
        FileKind::List => "0.0.0.0 ads.example\n",
    };
    Ok(Source {
        name: name.into(),
        text: text.into(),
    })
}

#[test]
fn every_example_holds() {
    let page = include_str!("../reference.md");
    let mut expectations = 0;
    let examples: Vec<_> = page.split("```policy\n").skip(1).collect();
    for example in &examples {
        let text = example.split("```").next().unwrap_or(example);
        let compiled = File::parse(text, "reference.md").and_then(|file| file.compile(&mut load));
        let (policy, warnings) = compiled.unwrap_or_else(|errors| panic!("{text}\n{errors:#?}"));
        assert_eq!(warnings, [], "{text}");
        for expectation in policy.expectations() {
            expectations += 1;
            let found = policy.verdict_on(expectation);
            let why = policy.describe(found.reason);
            assert_eq!(
                found.action, expectation.action,
                "{}: {why}",
                expectation.url
            );
        }
    }
    for example in page.split("```json\n").skip(1) {
        let text = example.split("```").next().unwrap_or(example);
        let (document, warnings) =
            Document::parse(text, "reference.md").unwrap_or_else(|errors| panic!("{errors:#?}"));
        assert_eq!(warnings, [], "{text}");
        let (policy, _) = document
            .compile_with(&mut load)
            .unwrap_or_else(|errors| panic!("{errors:#?}"));
        for expectation in policy.expectations() {
            expectations += 1;
            let found = policy.verdict_on(expectation);
            assert_eq!(found.action, expectation.action, "{}", expectation.url);
        }
    }
    assert!(
        examples.len() >= 10 && expectations >= 20,
        "{} examples, {expectations} expectations",
        examples.len()
    );
}
