//! The corpus: every trick we know of, after the advisories named in `archive.rs` and the threat model's TM-14.

use std::io::Write;

use oci::layer::Limits;

use crate::raw::{Header, Raw, record};

pub struct Case {
    pub name: &'static str,
    pub layers: Vec<Vec<u8>>,
    pub expect: Expect,
    pub limits: Option<Limits>,
}

pub enum Expect {
    /// The reason of the error.
    Refused(&'static str),
    /// All that the root has afterwards, sorted.
    Has(&'static [&'static str]),
}

const UNSAFE: Expect = Expect::Refused("LayerUnsafe");
const MALFORMED: Expect = Expect::Refused("LayerMalformed");
const TOO_LARGE: Expect = Expect::Refused("ImageTooLarge");

fn case(name: &'static str, layer: Vec<u8>, expect: Expect) -> Case {
    Case { name, layers: vec![layer], expect, limits: None }
}

fn two(name: &'static str, lower: Raw, upper: Raw, expect: Expect) -> Case {
    Case { name, layers: vec![lower.end(), upper.end()], expect, limits: None }
}

fn limited(name: &'static str, layer: Vec<u8>, change: impl FnOnce(&mut Limits)) -> Case {
    let mut limits = Limits::default();
    change(&mut limits);
    Case { name, layers: vec![layer], expect: TOO_LARGE, limits: Some(limits) }
}

pub fn all() -> Vec<Case> {
    [names(), links(), whiteouts(), formats(), sparse(), pax(), replacements(), bounds()].into_iter().flatten().collect()
}

fn names() -> Vec<Case> {
    let (long, part) = ("d/".repeat(2048) + "f", "n".repeat(256));
    let named = |name: &str| Raw::new().pax(&[("path", name.as_bytes())]).file("x", b"1").end();
    vec![
        case("a name that climbs", Raw::new().file("../canary/file", b"dead").end(), UNSAFE),
        case("a name that climbs later", Raw::new().file("a/../../canary/file", b"dead").end(), UNSAFE),
        case("a name that climbs and returns", Raw::new().file("a/../b", b"1").end(), UNSAFE),
        case("a name that is `..`", Raw::new().dir("..").end(), UNSAFE),
        case("a name with `..` behind a slash", Raw::new().file("/../canary/file", b"dead").end(), UNSAFE),
        case("a directory that climbs", Raw::new().dir("../canary/new/").end(), UNSAFE),
        case("an absolute name means the root", Raw::new().file("/etc/passwd", b"1").end(), Expect::Has(&["etc/", "etc/passwd"])),
        case("dots and slashes are nothing", Raw::new().file("././/a//./b", b"1").end(), Expect::Has(&["a/", "a/b"])),
        case("the root itself", Raw::new().dir("./").file("a", b"1").end(), Expect::Has(&["a"])),
        case("the root as a file", Raw::new().file(".", b"1").end(), UNSAFE),
        case("the root as a link", Raw::new().symlink("./", "/").end(), UNSAFE),
        case("no name", Raw::new().file("", b"1").end(), UNSAFE),
        case("three dots are a name", Raw::new().file(".../x", b"1").end(), Expect::Has(&[".../", ".../x"])),
        case("a name with a backslash is a name", named("..\\x"), Expect::Has(&["..\\x"])),
        case("a name with a line break is a name", named("a\nb"), Expect::Has(&["a\nb"])),
        case("upper and lower case are two files", Raw::new().file("A", b"1").file("a", b"2").end(), Expect::Has(&["A", "a"])),
        case("a path too long", named(&long), UNSAFE),
        case("a part too long", named(&part), UNSAFE),
        case("a tree too deep", named(&("d/".repeat(300) + "f")), UNSAFE),
        case("a climbing name in a pax header", named("../canary/file"), UNSAFE),
        case(
            "a climbing name in a GNU header",
            Raw::new().extension(b'L', b"../canary/file\0").member(b'0', "x", "", |h| h.gnu()).end(),
            UNSAFE,
        ),
        case("a climbing ustar prefix", Raw::new().member(b'0', "file", "", |h| h.text(345, 155, b"../canary")).end(), UNSAFE),
    ]
}

fn links() -> Vec<Case> {
    let deep: String = "d/".repeat(100);
    let chained = Raw::new()
        .pax(&[("path", deep.as_bytes())])
        .dir("x")
        .pax(&[("linkpath", deep.as_bytes())])
        .symlink("s1", "x")
        .pax(&[("path", format!("s1/{deep}").as_bytes())])
        .dir("x")
        .pax(&[("linkpath", format!("s1/{deep}").as_bytes())])
        .symlink("s2", "x")
        .pax(&[("path", format!("s2/{deep}").as_bytes())])
        .dir("x");
    vec![
        case(
            "a file through a link that climbs",
            Raw::new().symlink("up", "../canary").file("up/file", b"dead").end(),
            Expect::Has(&["canary/", "canary/file", "up -> ../canary"]),
        ),
        case(
            "a file through an absolute link",
            Raw::new().symlink("abs", "/etc").file("abs/x", b"1").end(),
            Expect::Has(&["abs -> /etc", "etc/", "etc/x"]),
        ),
        case(
            "a file through a link to the node's root",
            Raw::new().symlink("r", "/../../../../..").file("r/x", b"1").end(),
            Expect::Has(&["r -> /../../../../..", "x"]),
        ),
        case(
            "a file over a link does not follow it",
            Raw::new().symlink("passwd", "../passwd").file("passwd", b"dead").end(),
            Expect::Has(&["passwd"]),
        ),
        case(
            "a directory over a link does not follow it",
            Raw::new().symlink("c", "../canary").dir("c").file("c/file", b"1").end(),
            Expect::Has(&["c/", "c/file"]),
        ),
        case(
            "a pipe over a link does not follow it",
            Raw::new().symlink("p", "../passwd").member(b'6', "p", "", |h| h).end(),
            Expect::Has(&["p|"]),
        ),
        case(
            "a link over a link does not follow it",
            Raw::new().symlink("l", "../canary").symlink("l", "/x").end(),
            Expect::Has(&["l -> /x"]),
        ),
        case("links in a circle", Raw::new().symlink("a", "b").symlink("b", "a").file("a/x", b"1").end(), UNSAFE),
        case("a link to itself", Raw::new().symlink("a", "a").file("a/x", b"1").end(), UNSAFE),
        case(
            "a link into /proc",
            Raw::new().symlink("p", "/proc/self/root").file("p/canary", b"1").end(),
            Expect::Has(&["p -> /proc/self/root", "proc/", "proc/self/", "proc/self/root/", "proc/self/root/canary"]),
        ),
        case("a file as a directory", Raw::new().file("f", b"1").file("f/x", b"2").end(), UNSAFE),
        case("a hard link out by name", Raw::new().hard_link("h", "../canary/file").end(), UNSAFE),
        case("a hard link out by an absolute name", Raw::new().hard_link("h", "/canary/file").end(), UNSAFE),
        case(
            "a hard link through a link that climbs",
            Raw::new().symlink("up", "../canary").hard_link("h", "up/file").end(),
            UNSAFE,
        ),
        case(
            "a hard link to a link, then written through",
            Raw::new().symlink("s", "../passwd").hard_link("h", "s").file("h", b"dead").end(),
            Expect::Has(&["h", "s -> ../passwd"]),
        ),
        case(
            "a hard link to a link is a link",
            Raw::new().symlink("s", "../passwd").hard_link("h", "s").end(),
            Expect::Has(&["h -> ../passwd", "s -> ../passwd"]),
        ),
        case("a hard link to nothing", Raw::new().hard_link("h", "nothing").end(), UNSAFE),
        case("a hard link to a directory", Raw::new().dir("d").hard_link("h", "d").end(), UNSAFE),
        case("a hard link to the root", Raw::new().hard_link("h", "/").end(), UNSAFE),
        case("a hard link to itself", Raw::new().file("f", b"1").hard_link("f", "f").end(), Expect::Has(&["f"])),
        case("a hard link to itself that is not there", Raw::new().hard_link("f", "f").end(), UNSAFE),
        case(
            "a hard link in the place of its target's directory",
            Raw::new().file("d/f", b"1").hard_link("d", "d/f").end(),
            UNSAFE,
        ),
        case("a hard link with an empty target", Raw::new().hard_link("h", "").end(), UNSAFE),
        case("a link with an empty target", Raw::new().symlink("s", "").end(), UNSAFE),
        case("a link with a target too long", Raw::new().pax(&[("linkpath", &[b'x'; 5000])]).symlink("s", "").end(), UNSAFE),
        case("links that lead deeper than names may", chained.end(), UNSAFE),
        two(
            "a link below, written through above",
            Raw::new().symlink("etc", "../canary"),
            Raw::new().file("etc/file", b"dead"),
            Expect::Has(&["canary/", "canary/file", "etc -> ../canary"]),
        ),
        two(
            "a directory below, a link above",
            Raw::new().file("d/f", b"1"),
            Raw::new().symlink("d", "../canary").file("d/g", b"2"),
            Expect::Has(&["canary/", "canary/g", "d -> ../canary"]),
        ),
        two("a hard link to a file below", Raw::new().file("f", b"1"), Raw::new().hard_link("h", "f"), Expect::Has(&["f", "h"])),
    ]
}

fn whiteouts() -> Vec<Case> {
    let below = || Raw::new().file("d/a", b"1").file("d/b", b"2").file("d/s/c", b"3").file("e", b"4");
    vec![
        two(
            "a whiteout hides a file",
            below(),
            Raw::new().file("d/.wh.a", b""),
            Expect::Has(&["d/", "d/b", "d/s/", "d/s/c", "e"]),
        ),
        two("a whiteout hides a directory", below(), Raw::new().file(".wh.d", b""), Expect::Has(&["e"])),
        two(
            "an opaque directory hides all below",
            below(),
            Raw::new().file("d/.wh..wh..opq", b"").file("d/n", b"5"),
            Expect::Has(&["d/", "d/n", "e"]),
        ),
        two(
            "an opaque mark behind its content keeps it",
            below(),
            Raw::new().file("d/n", b"5").file("d/s/m", b"6").file("d/.wh..wh..opq", b""),
            Expect::Has(&["d/", "d/n", "d/s/", "d/s/m", "e"]),
        ),
        two(
            "a whiteout does not touch its own layer",
            below(),
            Raw::new().file("d/a", b"9").file("d/.wh.a", b"").file("d/s/m", b"6").file("d/.wh.s", b""),
            Expect::Has(&["d/", "d/a", "d/b", "d/s/", "d/s/m", "e"]),
        ),
        two(
            "a whiteout of what is not there",
            below(),
            Raw::new().file("x/y/.wh.z", b"").file(".wh.zz", b""),
            Expect::Has(&["d/", "d/a", "d/b", "d/s/", "d/s/c", "e"]),
        ),
        two(
            "an opaque mark where nothing is",
            below(),
            Raw::new().file("x/.wh..wh..opq", b""),
            Expect::Has(&["d/", "d/a", "d/b", "d/s/", "d/s/c", "e"]),
        ),
        case("a whiteout of the directory itself", Raw::new().file("d/.wh..", b"").end(), UNSAFE),
        case("a whiteout of the parent", Raw::new().file("d/.wh...", b"").end(), UNSAFE),
        case("a whiteout of nothing", Raw::new().file("d/.wh.", b"").end(), UNSAFE),
        case("a whiteout that is a directory", Raw::new().dir(".wh.d").end(), UNSAFE),
        case("a whiteout that is a link", Raw::new().symlink(".wh.d", "/").end(), UNSAFE),
        case("a file below a whiteout", Raw::new().file(".wh.d/x", b"1").end(), UNSAFE),
        case("an opaque mark that is a link", Raw::new().symlink("d/.wh..wh..opq", "..").end(), UNSAFE),
        case("an opaque mark for the root", Raw::new().file("a", b"1").file(".wh..wh..opq", b"").end(), Expect::Has(&["a"])),
        case(
            "what aufs kept for itself",
            Raw::new().file(".wh..wh.aufs", b"").dir(".wh..wh.plnk").file(".wh..wh.plnk/1.2", b"x").end(),
            Expect::Has(&[]),
        ),
        two(
            "a whiteout through a link that climbs",
            Raw::new().symlink("up", "../canary"),
            Raw::new().file("up/.wh.file", b""),
            Expect::Has(&["up -> ../canary"]),
        ),
        two(
            "an opaque mark through a link that climbs",
            Raw::new().symlink("up", "../canary"),
            Raw::new().file("up/.wh..wh..opq", b""),
            Expect::Has(&["up -> ../canary"]),
        ),
        two(
            "an opaque mark through a link to the root",
            Raw::new().symlink("r", "/../..").file("x", b"1"),
            Raw::new().file("r/.wh..wh..opq", b""),
            Expect::Has(&[]),
        ),
        two(
            "a whiteout of a link leaves what it points to",
            Raw::new().file("f", b"1").symlink("l", "f"),
            Raw::new().file(".wh.l", b""),
            Expect::Has(&["f"]),
        ),
        two(
            "a directory with a link out is hidden",
            Raw::new().symlink("d/l", "../../canary"),
            Raw::new().file(".wh.d", b""),
            Expect::Has(&[]),
        ),
    ]
}

fn formats() -> Vec<Case> {
    let device = |kind| Raw::new().member(kind, "dev/sda", "", |h| h.octal(329, 8, 8).octal(337, 8, 0)).end();
    let changed = |at: usize, value: u8| {
        let mut bytes = Raw::new().file("f", b"1").end();
        bytes[at] ^= value;
        bytes
    };
    let owner = |at: usize, id: u64| Raw::new().member(b'0', "f", "", |h| h.binary(at, 8, id)).end();
    vec![
        case("a block device is not made", device(b'4'), Expect::Has(&[])),
        case("a character device is not made", device(b'3'), Expect::Has(&[])),
        case("overlay's whiteout device is not made", Raw::new().member(b'3', "x", "", |h| h).end(), Expect::Has(&[])),
        case("a pipe is a pipe", Raw::new().member(b'6', "p", "", |h| h).end(), Expect::Has(&["p|"])),
        case("an unknown type", Raw::new().member(b'Z', "x", "", |h| h).end(), MALFORMED),
        case("a volume label", Raw::new().member(b'V', "x", "", |h| h.gnu()).end(), MALFORMED),
        case("a wrong checksum", changed(0, 1), MALFORMED),
        case("an unknown magic", Raw::new().member(b'0', "f", "", |h| h.text(257, 8, b"ustarXYZ")).end(), MALFORMED),
        case(
            "a size that is not octal",
            Raw::new().member(b'0', "f", "", |h| h.text(124, 12, b"00000000009\0")).end(),
            MALFORMED,
        ),
        case("a negative size", Raw::new().member(b'0', "f", "", |h| h.ones(124..136)).end(), MALFORMED),
        case("a size beyond the archive", Raw::new().member(b'0', "f", "", |h| h.octal(124, 12, 4096)).bytes, MALFORMED),
        case("a link with data", Raw::new().member(b'2', "l", "/x", |h| h.octal(124, 12, 512)).data(&[0; 512]).end(), MALFORMED),
        case("a directory with data", Raw::new().member(b'5', "d", "", |h| h.octal(124, 12, 1)).data(b"x").end(), MALFORMED),
        case("a file whose name ends in a slash", Raw::new().file("f/", b"1").end(), MALFORMED),
        case("bytes behind the end", Raw::new().file("f", b"1").raw(&[0; 1024]).file("g", b"2").end(), MALFORMED),
        case("no end mark", Raw::new().file("f", b"1").bytes, Expect::Has(&["f"])),
        case("an empty layer", Vec::new(), Expect::Has(&[])),
        case("no archive at all", b"<html>not found</html>".repeat(50), MALFORMED),
        case("an xz archive", b"\xfd7zXZ\0rest".to_vec(), MALFORMED),
        case("broken gzip", b"\x1f\x8b\x08\x00garbage".to_vec(), MALFORMED),
        case("broken zstd", b"\x28\xb5\x2f\xfdgarbage".to_vec(), MALFORMED),
        case("a uid beyond the workspace's", owner(108, 65_536), Expect::Refused("OwnerOutOfRange")),
        case("a gid that would wrap to root", owner(116, 1 << 32), Expect::Refused("OwnerOutOfRange")),
        case("a uid of minus one", Raw::new().member(b'0', "f", "", |h| h.ones(108..116)).end(), MALFORMED),
        case(
            "an old archive's directory",
            Raw::new().member(b'0', "d/", "", |h| h.text(257, 8, b"")).end(),
            Expect::Has(&["d/"]),
        ),
    ]
}

fn sparse() -> Vec<Case> {
    let pax = |records: &[(&str, &[u8])], data: &[u8]| Raw::new().pax(records).file("f", data).end();
    let one = |map: &str, size: &str, data: &[u8]| {
        let block = [map.as_bytes(), &vec![0; 512 - map.len()], data].concat();
        pax(
            &[
                ("GNU.sparse.major", b"1"),
                ("GNU.sparse.minor", b"0"),
                ("GNU.sparse.name", b"s"),
                ("GNU.sparse.realsize", size.as_bytes()),
            ],
            &block,
        )
    };
    let old = |offset: u64, length: u64, real: u64| {
        Raw::new()
            .member(b'S', "o", "", |h| {
                h.gnu().octal(124, 12, 512).octal(386, 12, offset).octal(398, 12, length).octal(483, 12, real)
            })
            .data(&[7; 512])
            .end()
    };
    vec![
        case("a sparse file of form 1.0", one("1\n1024\n3\n", "4096", b"abc"), Expect::Has(&["s"])),
        case(
            "a sparse file of form 0.1",
            pax(&[("GNU.sparse.size", b"4096"), ("GNU.sparse.map", b"0,1,2048,2")], b"abc"),
            Expect::Has(&["f"]),
        ),
        case(
            "a sparse file of form 0.0",
            pax(&[("GNU.sparse.size", b"99"), ("GNU.sparse.offset", b"9"), ("GNU.sparse.numbytes", b"3")], b"abc"),
            Expect::Has(&["f"]),
        ),
        case("a sparse file of the old form", old(1024, 512, 4096), Expect::Has(&["o"])),
        case("pieces beyond the file", old(4000, 512, 4096), MALFORMED),
        case("pieces that wrap round", one("2\n1024\n3\n9223372036854775807\n9\n", "4096", b"abc"), MALFORMED),
        case("pieces that overlap", one("2\n0\n2\n1\n1\n", "4096", b"abc"), MALFORMED),
        case("pieces without data", one("1\n0\n9\n", "4096", b"abc"), MALFORMED),
        case("a million pieces", one("1000000\n0\n1\n", "4096", b"abc"), MALFORMED),
        case("a map without end", one("3\n0\n1\n", "4096", b"abc"), MALFORMED),
        case(
            "a sparse name that climbs",
            pax(&[("GNU.sparse.name", b"../canary/file"), ("GNU.sparse.size", b"3"), ("GNU.sparse.map", b"0,3")], b"abc"),
            UNSAFE,
        ),
        case("a sparse file without size", pax(&[("GNU.sparse.map", b"0,3")], b"abc"), MALFORMED),
        case("a sparse directory", Raw::new().pax(&[("GNU.sparse.size", b"3")]).dir("d").end(), MALFORMED),
        limited("a hole larger than a file may be", one("0\n", "99999999999", b""), |limits| limits.file_bytes = 1 << 20),
    ]
}

fn pax() -> Vec<Case> {
    let hidden = Raw::new().file("../canary/file", b"dead").bytes;
    vec![
        // The differential of RUSTSEC-2026-0066 and its kin: whoever believes the header reads a member out of the data.
        case(
            "a size in the pax header is the size",
            Raw::new()
                .pax(&[("size", hidden.len().to_string().as_bytes())])
                .header(&Header::new(b'0', "f", "", 0))
                .data(&hidden)
                .end(),
            Expect::Has(&["f"]),
        ),
        case(
            "a size of zero in the pax header",
            Raw::new().pax(&[("size", b"0")]).header(&Header::new(b'0', "f", "", 512)).file("g", b"1").end(),
            Expect::Has(&["f", "g"]),
        ),
        case("two pax headers", Raw::new().pax(&[("path", b"a")]).pax(&[("path", b"b")]).file("x", b"1").end(), MALFORMED),
        case(
            "a pax and a GNU header",
            Raw::new().pax(&[("path", b"a")]).extension(b'L', b"b\0").file("x", b"1").end(),
            MALFORMED,
        ),
        case("two long names", Raw::new().extension(b'L', b"a\0").extension(b'L', b"b\0").file("x", b"1").end(), MALFORMED),
        case("a long name with a NUL within", Raw::new().extension(b'L', b"a\0b\0").file("x", b"1").end(), MALFORMED),
        case("an empty long name", Raw::new().extension(b'L', b"\0").file("x", b"1").end(), MALFORMED),
        case("a name twice", Raw::new().pax(&[("path", b"a"), ("path", b"b")]).file("x", b"1").end(), MALFORMED),
        case("a pax header for nobody", Raw::new().file("f", b"1").pax(&[("path", b"a")]).end(), MALFORMED),
        case("a record that runs out", Raw::new().extension(b'x', b"99 path=a\n").file("x", b"1").end(), MALFORMED),
        case("a record without a line end", Raw::new().extension(b'x', b"9 path=ab").file("x", b"1").end(), MALFORMED),
        case("a record with a sign", Raw::new().extension(b'x', b"+9 path=a\n").file("x", b"1").end(), MALFORMED),
        case("a name with a NUL", Raw::new().extension(b'x', &record("path", b"a\0b")).file("x", b"1").end(), MALFORMED),
        case(
            "a global header that renames",
            Raw::new().extension(b'g', &record("path", b"../canary/file")).file("x", b"1").end(),
            MALFORMED,
        ),
        case(
            "a global header that gives a size",
            Raw::new().extension(b'g', &record("size", b"0")).file("x", b"1").end(),
            MALFORMED,
        ),
        case(
            "a global header with a comment",
            Raw::new().extension(b'g', &record("comment", b"c0ffee")).file("x", b"1").end(),
            Expect::Has(&["x"]),
        ),
        case(
            "a pax header of two megabytes",
            Raw::new().extension(b'x', &record("comment", &vec![b'x'; 2 << 20])).file("x", b"1").end(),
            MALFORMED,
        ),
        case(
            "attributes that are the node's are dropped",
            Raw::new()
                .pax(&[("SCHILY.xattr.trusted.overlay.opaque", b"y"), ("SCHILY.xattr.trusted.overlay.redirect", b"/../canary")])
                .dir("d")
                .end(),
            Expect::Has(&["d/"]),
        ),
        case(
            "an attribute twice",
            Raw::new().pax(&[("SCHILY.xattr.user.a", b"1"), ("SCHILY.xattr.user.a", b"2")]).file("f", b"1").end(),
            MALFORMED,
        ),
        case(
            "an attribute with a NUL in its name",
            Raw::new().extension(b'x', &record("SCHILY.xattr.user.a\0b", b"1")).file("f", b"1").end(),
            MALFORMED,
        ),
        case(
            "a uid in the pax header beyond ours",
            Raw::new().pax(&[("uid", b"4294967296")]).file("f", b"1").end(),
            Expect::Refused("OwnerOutOfRange"),
        ),
    ]
}

fn replacements() -> Vec<Case> {
    vec![
        case("a file twice: the last counts", Raw::new().file("f", b"1").file("f", b"2").end(), Expect::Has(&["f"])),
        case("a directory over a file", Raw::new().file("f", b"1").dir("f").file("f/x", b"2").end(), Expect::Has(&["f/", "f/x"])),
        case("a file over a full directory", Raw::new().file("d/a/b", b"1").file("d", b"2").end(), Expect::Has(&["d"])),
        case("a directory twice keeps what it has", Raw::new().file("d/a", b"1").dir("d").end(), Expect::Has(&["d/", "d/a"])),
        case(
            "a link over the directory being filled",
            Raw::new().file("d/a", b"1").symlink("d", "../canary").file("d/file", b"dead").end(),
            Expect::Has(&["canary/", "canary/file", "d -> ../canary"]),
        ),
        case(
            "a parent on the way replaced by a link",
            Raw::new().file("a/b/c", b"1").symlink("a", "../canary").file("a/b/c", b"dead").end(),
            Expect::Has(&["a -> ../canary", "canary/", "canary/b/", "canary/b/c"]),
        ),
        case(
            "a device over a file takes it away",
            Raw::new().file("f", b"1").member(b'3', "f", "", |h| h).end(),
            Expect::Has(&[]),
        ),
        case(
            "a file over a hard link leaves the other name",
            Raw::new().file("a", b"1").hard_link("b", "a").file("b", b"2").end(),
            Expect::Has(&["a", "b"]),
        ),
        two(
            "a whole tree replaced by a file",
            Raw::new().file("usr/bin/x", b"1"),
            Raw::new().file("usr", b"2"),
            Expect::Has(&["usr"]),
        ),
    ]
}

fn bounds() -> Vec<Case> {
    let many = (0..50).fold(Raw::new(), |raw, index| raw.file(&format!("f{index}"), b"")).end();
    let bomb = |size: usize| {
        let mut header = Header::new(b'0', "zeros", "", size as u64);
        header.octal(124, 12, size as u64);
        Raw::new().header(&header).data(&vec![0; size]).end()
    };
    let gzip = |bytes: &[u8]| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).expect("in memory")
    };
    let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).expect("in memory");
    let twice = [gzip(&bomb(1 << 20)[..1 << 19]), gzip(&bomb(1 << 20)[1 << 19..])].concat();
    vec![
        limited("too many members", many.clone(), |limits| limits.entries = 49),
        limited("too many bytes of names", many, |limits| limits.name_bytes = 100),
        limited("a file too large", bomb(1 << 20), |limits| limits.file_bytes = 1 << 19),
        limited("an image too large", bomb(1 << 20), |limits| limits.image_bytes = 1 << 19),
        limited("a gzip bomb", gzip(&bomb(66 << 20)), |limits| limits.ratio = 10),
        limited("a zstd bomb", zstd(&bomb(66 << 20)), |limits| limits.ratio = 10),
        case("a zstd bomb by default", zstd(&bomb(96 << 20)), TOO_LARGE),
        case("gzip in two members", twice, Expect::Has(&["zeros"])),
        case("zstd", zstd(&bomb(1 << 20)), Expect::Has(&["zeros"])),
        case("zstd with a skippable frame behind", [zstd(&bomb(1 << 20)), skippable()].concat(), Expect::Has(&["zeros"])),
        case("zstd with a window of two gigabytes", vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00], MALFORMED),
    ]
}

/// As zstd:chunked keeps its table of contents.
fn skippable() -> Vec<u8> {
    [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"toc!"].concat()
}
