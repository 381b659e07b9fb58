//! Files that are written beside their place, and come there when they are whole.

use std::fs::Permissions;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::NamedTempFile;

/// The folder that a file lies in, or is to lie in.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A draft of the file at this path, of this mode but for what the umask takes from it. An error does not name the draft: nobody knows that name.
pub fn beside(path: &Path, mode: u32) -> io::Result<NamedTempFile> {
    let draft =
        tempfile::Builder::new().permissions(Permissions::from_mode(mode)).tempfile_in(folder_of(path));
    draft.map_err(|error| {
        let (kind, folder) = (error.kind(), folder_of(path).display());
        let told = match kind {
            io::ErrorKind::NotFound => format!("there is no folder {folder}"),
            io::ErrorKind::PermissionDenied => format!("no file may be made in {folder}"),
            kind => kind.to_string(),
        };
        io::Error::new(kind, told)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_does_not_name_the_draft() {
        let folder = tempfile::tempdir().unwrap();
        let told = beside(&folder.path().join("none/file"), 0o600).unwrap_err().to_string();
        assert_eq!(told, format!("there is no folder {}", folder.path().join("none").display()));
        let draft = beside(&folder.path().join("file"), 0o600).unwrap();
        assert_eq!(draft.path().parent(), Some(folder.path()));
        assert_eq!(draft.as_file().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
}
