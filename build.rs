//! Lists the provider definitions under `providers/`, so that adding one is adding a file.

use std::path::Path;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=providers");
    let root = env::var("CARGO_MANIFEST_DIR").map_err(io::Error::other)?;
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    let mut files = Vec::new();
    for entry in fs::read_dir(Path::new(&root).join("providers"))? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            files.push(path);
        }
    }
    files.sort();
    let list: String = files
        .iter()
        .filter_map(|path| {
            let file = path.file_name()?.to_str()?;
            Some(format!("({file:?}, include_str!({:?})),\n", path.to_str()?))
        })
        .collect();
    fs::write(
        Path::new(&out).join("providers.rs"),
        format!("&[\n{list}]\n"),
    )
}
