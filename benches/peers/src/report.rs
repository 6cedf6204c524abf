//! Tables for people, in Markdown.

use std::fmt;

use crate::measure::Taken;

/// One comparison.
pub struct Table {
    title: String,
    /// Name, bytes a rule, milliseconds to build.
    build: Vec<(&'static str, f64, f64)>,
    taken: Vec<Taken>,
}

impl Table {
    pub fn of_hosts(
        count: usize,
        allowed: usize,
        build: Vec<(&'static str, f64, f64)>,
        taken: Vec<Taken>,
    ) -> Self {
        let title = format!("{count} names; {allowed} questions allowed, the same by all");
        Self {
            title,
            build,
            taken,
        }
    }

    pub fn of_nets(
        count: usize,
        inside: usize,
        build: Vec<(&'static str, f64, f64)>,
        taken: Vec<Taken>,
    ) -> Self {
        let title =
            format!("{count} IPv4 networks; {inside} questions inside one, the same by all");
        Self {
            title,
            build,
            taken,
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.title)?;
        writeln!(
            f,
            "| structure | ns | worst round | ours / it | bytes a rule | build ms |"
        )?;
        writeln!(f, "| --- | --- | --- | --- | --- | --- |")?;
        for taken in &self.taken {
            let chained = taken.name.contains("each after");
            let ours = self.taken.iter().find(|t| {
                t.name.starts_with("sandbox") && t.name.contains("each after") == chained
            });
            let ratio = ours.map_or(1.0, |ours| ours.best / taken.best);
            let built = self.build.iter().find(|(name, ..)| *name == taken.name);
            let built = built.map_or(" | ".to_owned(), |(_, bytes, ms)| match bytes {
                // Memory that was free already was used again.
                ..1.0 => format!("not seen | {ms:.1}"),
                _ => format!("{bytes:.1} | {ms:.1}"),
            });
            let Taken { name, best, worst } = taken;
            writeln!(
                f,
                "| {name} | {best:.1} | {worst:.1} | {ratio:.2} | {built} |"
            )?;
        }
        Ok(())
    }
}
