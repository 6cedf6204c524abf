//! Why an entry of a layer is not taken into a tree.

/// What is wrong with one entry of a layer, said of the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A path such as `/etc/passwd`.
    #[error("its path begins with a slash")]
    Absolute,
    /// A path with `..`, or one that a symbolic link leads above the image's root.
    #[error("its path climbs with `..`")]
    Climbs,
    /// No name where one must be.
    #[error("its path has an empty name")]
    Empty,
    /// A byte that no file name can hold.
    #[error("its path holds a NUL byte")]
    BadByte,
    /// Over 4096 bytes, or a name over 255.
    #[error("its path is too long")]
    TooLong,
    /// Its path goes through a file.
    #[error("its path goes through something that is not a directory")]
    NotADirectory,
    /// More symbolic links on its path than the kernel would follow.
    #[error("its path goes through too many symbolic links")]
    Loop,
    /// A block or character device outside `dev`.
    #[error("it is a device node")]
    Device,
    /// A type of entry that no image uses.
    #[error("its type is unknown")]
    Type,
    /// GNU's format for files with holes.
    #[error("it is stored as a sparse file")]
    Sparse,
    /// A hard link to nothing or to a directory.
    #[error("it is a hard link to something that is not a file of the image")]
    HardLink,
    /// A symbolic link to nothing, or to over 4095 bytes.
    #[error("it is a symbolic link with a bad target")]
    Symlink,
    /// A whiteout of `.`, `..` or nothing.
    #[error("it is a whiteout of nothing that could be there")]
    Whiteout,
    /// The root would not be a directory.
    #[error("it would replace the root directory")]
    Root,
    /// A number in its header, such as owner or time, that is no such number.
    #[error("its header is damaged")]
    Header,
    /// Over 64 KiB of extended attributes.
    #[error("its extended attributes are too large")]
    Xattrs,
    /// The image's entries or bytes exceed what any image needs.
    #[error("with it the image is too large")]
    Budget,
}
