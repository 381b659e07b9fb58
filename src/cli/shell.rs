//! `starling completions` and `starling man`: what a package installs beside the program.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Command;
use clap_complete::Shell;

/// Print a script that completes the command line in a shell
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// bash: source it, or put it into /usr/share/bash-completion/completions/starling
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Write the manual pages into a folder, one for each command
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Made if there is none: /usr/share/man/man1, say
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

/// Prints the script.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "starling", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// Writes the pages.
pub fn man(args: &ManArgs, command: Command) -> anyhow::Result<ExitCode> {
    let told = || format!("can't write manual pages into {}", args.dir.display());
    super::is_no_file("starling man", &args.dir)?;
    std::fs::create_dir_all(&args.dir).with_context(told)?;
    clap_mangen::generate_to(command, &args.dir).with_context(told)?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn there_is_a_page_for_each_command_that_people_use() {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().join("man1");
        man(&ManArgs { dir: dir.clone() }, Cli::command()).unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.join(name)).unwrap();
        for name in ["starling.1", "starling-node.1", "starling-token-create.1", "starling-lab-ctl-logs.1"] {
            assert!(page(name).starts_with(".ie"), "{name}");
        }
        assert!(page("starling-node.1").contains("STARLING_KEY_FILE"));
        assert!(!dir.join("starling-sandbox.1").exists(), "that one is the node's own");
    }

    #[test]
    fn every_shell_has_a_script() {
        for shell in [Shell::Bash, Shell::Elvish, Shell::Fish, Shell::PowerShell, Shell::Zsh] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "starling", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("key-file") && script.contains("completions"), "{shell}");
        }
    }
}
