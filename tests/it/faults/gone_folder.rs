//! A shared folder that the host removed while its sandbox was stopped.

use std::fs;

#[test]
fn a_start_names_the_folder_that_is_gone() {
    let home = super::home();
    for (name, volume) in [("folder", "/srv:/data"), ("volume", "sub:/data")] {
        let folder = if name == "folder" { "sub" } else { "." };
        fs::create_dir(home.project().join("sub")).unwrap();
        let create = ["create", "-t", "./tiny.tar", "--isolation", "container"];
        let line = [
            &create[..],
            &["--name", name, "-v", volume, "shell", folder],
        ]
        .concat();
        home.ok(&line);
        fs::remove_dir(home.project().join("sub")).unwrap();
        let ran = home.run(&["exec", name, "true"]);
        let gone = format!("project/sub`, which `{name}` shares, is gone\nhelp: put it back");
        assert_eq!((ran.code, ran.stdout.as_str()), (125, ""), "{ran:?}");
        assert!(ran.stderr.contains(&gone), "{ran:?}");
    }
}
