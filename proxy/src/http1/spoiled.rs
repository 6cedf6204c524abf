//! Messages spoiled in every way that has ever fooled a reader, for tests.

/// What is put in the place of a byte, before it, and before it as a whole line.
const SPOILS: [&[u8]; 24] = [
    b"\0",
    b"\t",
    b"\n",
    b"\x0b",
    b"\x0c",
    b"\r",
    b" ",
    b"+",
    b",",
    b"-",
    b"0",
    b"1",
    b"9",
    b":",
    b";",
    b"_",
    b"f",
    b"x",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\r\n",
    b"\r\n ",
    b"\r\n\r\n",
];

/// Every byte of `seed` spoiled in every way.
pub(crate) fn spoiled(seed: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    (0..=seed.len()).flat_map(move |at| {
        let (before, after) = seed.split_at(at);
        let without = after.get(1..).unwrap_or_default();
        let with = SPOILS.into_iter().flat_map(move |spoil| {
            [
                [before, spoil, after].concat(),
                [before, spoil, without].concat(),
            ]
        });
        with.chain([[before, without].concat()])
    })
}
