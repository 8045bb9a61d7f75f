//! Which ids of the machine belong to whom. Ranges are disjoint, written down before anything is owned by them, and free
//! again only when nothing is: whoever releases has deleted the files and seen the processes end.

use redb::ReadableTable;

use crate::error::NodeError;
use crate::ports::IdRange;
use crate::store::Store;
use domain::class::Class;

/// Gives out ranges of 65,536 ids.
#[derive(Clone)]
pub struct Ledger {
    store: Store,
    first: u32,
    count: u32,
    begin: u32,
}

impl Ledger {
    /// A ledger over `count` ranges from `first` on; it begins to give them out at number `begin`, so that two servers
    /// on one machine, which know nothing of each other, do not both begin with the first.
    pub fn new(store: Store, first: u32, count: u32, begin: u32) -> Self {
        Self { store, first, count, begin }
    }

    /// The range of an owner: the one it has, else the next free one.
    pub fn acquire(&self, owner: &str) -> Result<IdRange, NodeError> {
        let found = self.store.ranges(&format!("give {owner} a range of ids"), |table| {
            if let Some(held) = matching(table, |holder| holder == owner)?.first() {
                return Ok(Some(*held));
            }
            let numbers = (0..self.count).map(|n| (self.begin % self.count + n) % self.count);
            let all = numbers.map(|number| self.first + number * IdRange::SIZE);
            let Some(base) = first_free(table, all)? else { return Ok(None) };
            table.insert(base, owner)?;
            Ok(Some(base))
        })?;
        found.map(|base| IdRange { base }).ok_or_else(|| {
            NodeError::refused(
                Class::ResourceExhausted,
                "IdRangesExhausted",
                format!("all {} id ranges of this node are in use", self.count),
                "delete workspaces that are no longer needed, or raise id_range_count",
            )
        })
    }

    /// Frees the range of an owner; nothing is owned by its ids any more. Bears repeating.
    pub fn release(&self, owner: &str) -> Result<(), NodeError> {
        self.store.ranges(&format!("free the id range of {owner}"), |table| {
            let held: Vec<u32> = matching(table, |holder| holder == owner)?;
            held.into_iter().try_for_each(|base| table.remove(base).map(drop).map_err(Into::into))
        })
    }

    /// Everybody who owns a range.
    pub fn owners(&self) -> Result<Vec<String>, NodeError> {
        self.store.owners_of_ranges()
    }
}

type Table<'a> = redb::Table<'a, u32, &'static str>;

fn first_free(table: &Table<'_>, candidates: impl Iterator<Item = u32>) -> anyhow::Result<Option<u32>> {
    for base in candidates {
        if table.get(base)?.is_none() {
            return Ok(Some(base));
        }
    }
    Ok(None)
}

fn matching(table: &Table<'_>, is_wanted: impl Fn(&str) -> bool) -> anyhow::Result<Vec<u32>> {
    let mut found = Vec::new();
    for row in table.iter()? {
        let (base, holder) = row?;
        if is_wanted(holder.value()) {
            found.push(base.value());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(count: u32) -> (tempfile::TempDir, Ledger) {
        let directory = tempfile::tempdir().expect("directory");
        let store = Store::open(&directory.path().join("state.redb")).expect("store");
        (directory, Ledger::new(store, 1_000 * 65_536, count, 0))
    }

    #[test]
    fn two_hundred_owners_have_disjoint_ranges_and_keep_them() {
        let (_directory, ledger) = ledger(200);
        let bases: Vec<u32> = (0..200).map(|n| ledger.acquire(&format!("w{n}")).expect("range").base).collect();
        for (n, base) in bases.iter().enumerate() {
            assert!(bases.iter().skip(n + 1).all(|other| other.abs_diff(*base) >= IdRange::SIZE));
            assert_eq!(ledger.acquire(&format!("w{n}")).expect("again").base, *base);
        }
        let error = ledger.acquire("one too many").expect_err("full");
        assert!(matches!(error, NodeError::Refused { reason: "IdRangesExhausted", .. }));
    }

    #[test]
    fn a_range_is_given_again_only_after_it_was_released() {
        let (_directory, ledger) = ledger(2);
        let first = ledger.acquire("a").expect("a");
        let second = ledger.acquire("b").expect("b");
        assert_ne!(first, second);
        ledger.release("a").expect("released");
        ledger.release("a").expect("bears repeating");
        assert_eq!(ledger.acquire("c").expect("c"), first);
        assert_eq!(ledger.owners().expect("owners"), ["c", "b"]);
    }

    #[test]
    fn a_ledger_that_begins_late_goes_round_to_the_first() {
        let (_directory, ledger) = ledger(3);
        let late = Ledger { begin: 5, ..ledger };
        let bases: Vec<u32> =
            ["a", "b", "c"].iter().map(|owner| late.acquire(owner).expect("range").base / IdRange::SIZE).collect();
        assert_eq!(bases, [1_002, 1_000, 1_001]);
    }

    #[test]
    fn a_write_that_failed_has_given_nothing() {
        let (_directory, ledger) = ledger(1);
        ledger.store.fuse().blow_after(0);
        ledger.acquire("a").expect_err("no power");
        ledger.store.fuse().mend();
        ledger.acquire("b").expect("the only range is still free");
    }
}
