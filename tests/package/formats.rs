//! Packages of other kinds, which are made and looked into: an rpm, and a container's image.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::{assert_links, make};
use crate::common::TempDir;
use crate::common::process::Process;

fn run(program: &str, arguments: &[&str]) -> String {
    Process::run(Command::new(program).args(arguments)).stdout
}

/// It has what the Debian package has, and rpm itself installs it, finds it unchanged, and takes it away again.
#[test]
#[ignore = "root"]
fn an_rpm_has_all_that_the_debian_package_has() {
    let folder = TempDir::new("rpm");
    let binary = Path::new(env!("CARGO_BIN_EXE_udptrack"));
    let rpm = make("rpm", binary, &folder);
    let rpm = rpm.to_str().unwrap();
    let deb = folder.file("udptrack.deb", "");
    fs::write(&deb, super::package()).unwrap();
    let root = folder.path().join("root");
    let root = root.to_str().unwrap();
    let deb_root = folder.path().join("deb");
    run(
        "dpkg-deb",
        &["-x", deb.to_str().unwrap(), deb_root.to_str().unwrap()],
    );

    let listed = run("rpm", &["-qpl", rpm]);
    let listed: BTreeSet<&str> = listed.lines().collect();
    let found = run("find", &[deb_root.to_str().unwrap(), "-type", "f"]);
    let expected: BTreeSet<String> = found
        .lines()
        .map(|path| path.strip_prefix(deb_root.to_str().unwrap()).unwrap())
        // Debian alone has these, and other names for those.
        .filter(|path| !path.contains("lintian") && !path.ends_with("changelog.Debian.gz"))
        .map(|path| {
            path.replace("vendor-completions", "site-functions")
                .replace("/changelog.gz", "/CHANGELOG.md")
        })
        .map(|path| match path.strip_prefix("/lib/") {
            Some(rest) => format!("/usr/lib/{rest}"),
            None => path,
        })
        .collect();
    let folders = ["/docs", "/tests", "/tests/captures", ""]
        .map(|folder| format!("/usr/share/doc/udptrack{folder}"));
    let expected: BTreeSet<String> = expected
        .into_iter()
        .chain(folders)
        .chain(["/etc/udptrack".to_owned()])
        .collect();
    assert_eq!(listed, expected.iter().map(String::as_str).collect());
    assert_eq!(run("rpm", &["-qpc", rpm]), "/etc/udptrack/udptrack.toml\n");
    let version = run("rpm", &["-qp", "--queryformat", "%{name} %{version}", rpm]);
    assert_eq!(version, format!("udptrack {}", env!("CARGO_PKG_VERSION")));

    // What it asks for is known by no rpm here, and its scripts are for a system that runs.
    run("rpm", &["--root", root, "--initdb"]);
    run(
        "rpm",
        &["--root", root, "-i", "--nodeps", "--noscripts", rpm],
    );
    assert_eq!(
        run("rpm", &["--root", root, "-V", "--nodeps", "udptrack"]),
        ""
    );
    assert_links(&PathBuf::from(root).join("usr/share/doc/udptrack"));
    run(
        "rpm",
        &["--root", root, "-e", "--nodeps", "--noscripts", "udptrack"],
    );
    assert!(!Path::new(root).join("usr/bin/udptrack").exists());
    assert!(!Path::new(root).join("etc/udptrack").exists());
}

/// Of a static program, here one that is made in no time: it is all there is, and it is what is run.
#[test]
#[ignore = "root"]
fn an_image_has_the_program_alone_and_runs_it() {
    let folder = TempDir::new("image");
    let source = folder.file(
        "said.c",
        "int puts(const char *);\nint main(int n, char **v) { return puts(v[n - 1]) < 0; }\n",
    );
    let program = folder.path().join("said");
    run(
        "cc",
        &[
            "-static",
            "-o",
            program.to_str().unwrap(),
            source.to_str().unwrap(),
        ],
    );
    let archive = make("image", &program, &folder);
    let unpacked = folder.path().join("unpacked");
    let unpack = |archive: &Path, to: &Path| {
        fs::create_dir(to).unwrap();
        let (archive, to) = (archive.to_str().unwrap(), to.to_str().unwrap());
        run("tar", &["-xf", archive, "-C", to]);
    };
    unpack(&archive, &unpacked);
    let blob = |digest: &Value| {
        let digest = digest["digest"].as_str().unwrap();
        unpacked.join("blobs").join(digest.replace(':', "/"))
    };
    let json = |path: PathBuf| -> Value {
        serde_json::from_str(&fs::read_to_string(path).unwrap()).unwrap()
    };
    let manifest = json(blob(&json(unpacked.join("index.json"))["manifests"][0]));
    let config = json(blob(&manifest["config"]));
    assert_eq!(
        config["config"]["Entrypoint"],
        serde_json::json!(["/usr/bin/udptrack"])
    );
    assert_eq!(
        config["config"]["Labels"]["org.opencontainers.image.version"],
        env!("CARGO_PKG_VERSION")
    );
    let root = folder.path().join("root");
    let layers = manifest["layers"].as_array().unwrap();
    assert_eq!(layers.len(), 1);
    unpack(&blob(&layers[0]), &root);
    let root = root.to_str().unwrap();
    let files = run("find", &[root, "-type", "f", "-printf", "/%P\n"]);
    let files: BTreeSet<&str> = files.lines().collect();
    let expected = [
        "/usr/bin/udptrack",
        "/usr/share/doc/udptrack/LICENCES-OF-LIBRARIES",
        "/usr/share/doc/udptrack/LICENSE-APACHE",
        "/usr/share/doc/udptrack/LICENSE-MIT",
        "/usr/share/doc/udptrack/copyright",
    ];
    assert_eq!(files, expected.into());
    assert_eq!(
        run("chroot", &[root, "/usr/bin/udptrack", "here"]),
        "here\n"
    );
}
