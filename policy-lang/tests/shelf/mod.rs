//! A loader with one long list, and room for its image.

use policy_lang::{
    ListStore, Policy, ReadAt, SavedList, Stamp, Warning, WriteImage,
    language::{File, FileKind, Load, Source},
};
use std::{io, sync::Arc};

/// Bytes of an image.
#[derive(Debug)]
pub(crate) struct Bytes(pub(crate) Vec<u8>);

impl ReadAt for Bytes {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        let part = start
            .checked_add(bytes.len())
            .and_then(|end| self.0.get(start..end));
        bytes.copy_from_slice(part.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

/// The list is called `long`.
#[derive(Debug, Clone)]
pub(crate) struct Shelf {
    pub(crate) text: String,
    pub(crate) key: [u64; 3],
    pub(crate) stamp: Stamp,
    pub(crate) image: Option<Arc<dyn ReadAt>>,
    /// How often the text was read.
    pub(crate) loads: usize,
}

impl Shelf {
    pub(crate) fn new(text: String) -> Self {
        Self {
            text,
            key: [
                0x243f_6a88_85a3_08d3,
                0x1319_8a2e_0370_7344,
                0xa409_3822_299f_31d0,
            ],
            stamp: [7; 64],
            image: None,
            loads: 0,
        }
    }

    pub(crate) fn compile(&mut self, rules: &str) -> (Policy, Vec<Warning>) {
        let file = File::parse(rules, "test").expect("the rules are well written");
        file.compile(self).expect("the rules hold")
    }

    fn saved(&self) -> Option<SavedList> {
        Some(SavedList {
            name: "long".into(),
            stamp: self.stamp,
            image: self.image.clone()?,
        })
    }
}

impl Load for Shelf {
    fn load(&mut self, _: FileKind, name: &str, _: &str) -> Result<Source, String> {
        self.loads += 1;
        let (name, text) = (name.into(), self.text.clone());
        Ok(Source { name, text })
    }

    fn store(&mut self) -> Option<&mut dyn ListStore> {
        Some(self)
    }
}

impl ListStore for Shelf {
    fn key(&self) -> [u64; 3] {
        self.key
    }

    fn find(&mut self, _: &str, _: &str) -> Option<SavedList> {
        self.saved()
    }

    fn save(&mut self, _: &str, _: &str, write: &WriteImage<'_>) -> Option<SavedList> {
        let mut bytes = Vec::new();
        write(&self.stamp, &mut bytes).ok()?;
        self.image = Some(Arc::new(Bytes(bytes)));
        self.saved()
    }
}
