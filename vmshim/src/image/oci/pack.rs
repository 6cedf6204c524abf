//! Turns layers into an image, in two readings: one for the tree, one for the content that is left in it.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use super::entry;
use super::erofs::Image;
use super::layer::Layer;
use super::merge::{Budget, Merge};
use super::tree::{Content, Kind, NodeId, Tree};
use crate::progress::{Event, Progress};

/// Why layers did not become an image.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A layer cannot be read or is refused.
    #[error("layer {number} of the image is not usable")]
    Layer {
        /// Its number, the lowest is 1.
        number: usize,
        /// What is wrong with it.
        #[source]
        source: entry::Error,
    },
    /// The image could not be written.
    #[error("the template could not be written")]
    Write(#[source] std::io::Error),
}

impl Error {
    /// What the person can do about it.
    pub fn help(&self) -> Option<String> {
        let text = match self {
            Self::Layer {
                source: entry::Error::Refused { .. },
                ..
            } => "do not use this image, or have its maker build it with a common tool",
            Self::Layer { .. } => "try again; if it stays so, have the image made or saved again",
            Self::Write(_) => "check free disk space and try again",
        };
        Some(text.to_owned())
    }
}

/// Writes the image of `layers`, lowest first, to the new file `path`.
pub(super) fn pack(layers: &[Layer], path: &Path, progress: &dyn Progress) -> Result<(), Error> {
    progress.event(Event::Phase("merging the layers"));
    let mut merge = Merge::new(Budget::default());
    for (index, layer) in layers.iter().enumerate() {
        layer
            .read(|reader| merge.apply(reader))
            .map_err(of_layer(index))?;
        progress.event(Event::Percent(share(index + 1, layers.len())));
    }
    let tree = merge.into_tree();

    progress.event(Event::Phase("writing the template"));
    let file = File::create_new(path).map_err(Error::Write)?;
    let mut image = Image::begin(&file, &tree).map_err(Error::Write)?;
    let (mut wanted, total) = wanted(&tree);
    let mut meter = Meter {
        progress,
        total,
        done: 0,
    };
    for (index, layer) in layers.iter().enumerate() {
        if let Some(wanted) = wanted.remove(&index) {
            copy(layer, &wanted, &mut image, &mut meter).map_err(of_layer(index))?;
        }
    }
    image.finish().map_err(Error::Write)
}

/// The nodes that get content from one layer, by number of entry, and how many bytes.
type Wanted = HashMap<u64, (NodeId, u64)>;

/// What each layer gives, and how many bytes all give.
fn wanted(tree: &Tree) -> (HashMap<usize, Wanted>, u64) {
    let mut wanted: HashMap<usize, Wanted> = HashMap::new();
    let mut total = 0;
    for id in tree.walk() {
        if let Kind::File { content, size } = tree.node(id).kind
            && size > 0
        {
            let Content { layer, entry } = content;
            wanted.entry(layer).or_default().insert(entry, (id, size));
            total += size;
        }
    }
    (wanted, total)
}

fn copy(
    layer: &Layer,
    wanted: &Wanted,
    image: &mut Image<'_>,
    meter: &mut Meter<'_>,
) -> Result<(), entry::Error> {
    layer.read(|reader| {
        entry::each(reader, |number, _, content| {
            if let Some((id, size)) = wanted.get(&number) {
                image.write_file(*id, content)?;
                meter.add(*size);
            }
            Ok(())
        })
    })
}

/// Tells how much of the content is written.
struct Meter<'a> {
    progress: &'a dyn Progress,
    total: u64,
    done: u64,
}

impl Meter<'_> {
    fn add(&mut self, bytes: u64) {
        let percent = |done: u64| u8::try_from(done.saturating_mul(100) / self.total.max(1));
        let before = percent(self.done);
        self.done += bytes;
        let after = percent(self.done);
        if after != before {
            self.progress.event(Event::Percent(after.unwrap_or(100)));
        }
    }
}

fn of_layer(index: usize) -> impl FnOnce(entry::Error) -> Error {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    move |source| match source {
        // Content streams from layer to image; these can only be the image's side of it.
        entry::Error::Read(error)
            if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) =>
        {
            Error::Write(error)
        }
        source => Error::Layer {
            number: index + 1,
            source,
        },
    }
}

fn share(done: usize, all: usize) -> u8 {
    let percent = done * 100 / all.max(1);
    u8::try_from(percent).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;

    #[test]
    fn a_full_disk_is_not_the_layers_fault() {
        let rows = [
            (ErrorKind::StorageFull, "the template could not be written"),
            (
                ErrorKind::QuotaExceeded,
                "the template could not be written",
            ),
            (ErrorKind::InvalidData, "layer 1 of the image is not usable"),
        ];
        for (kind, wanted) in rows {
            let error = of_layer(0)(entry::Error::Read(kind.into()));
            assert_eq!(error.to_string(), wanted);
        }
    }
}
