"""Files of tables, as spreadsheets, databases and other programs write them."""

import gzip
import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo.data.config import DataConfig
from zoo.data.encoding_names import parse_encoding
from zoo.data.sources import table_files
from zoo.data.sources.table_files import read_table, recall_separator
from zoo.data.sources.text_files import recall_encoding
from zoo.errors import UserError

# without the time: the processes of the tests have to find the same cases
GZIPPED_TWICE = gzip.compress(gzip.compress(b"a,b\n1,2\n", mtime=0), mtime=0)
TAR = gzip.compress(bytes(257) + b"ustar\0", mtime=0)


@pytest.fixture
def read(tmp_path):
    def read_content(content, kind="csv", **options):
        file = tmp_path / f"t.{kind}"
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(kind, file, **options)

    return read_content


def columns(table):
    return table.frame.to_dict("list")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a,b\n1,2\n3,4\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a;b\n1,5;2\n3,5;4\n", {"a": ["1,5", "3,5"], "b": ["2", "4"]}),
        ("a;b\n1,5;2,5\n3,5;4,5\n", {"a": ["1,5", "3,5"], "b": ["2,5", "4,5"]}),
        ("a\tb\n1\t2\n", {"a": ["1"], "b": ["2"]}),
        ("a|b\n1|2\n", {"a": ["1"], "b": ["2"]}),
        ("text\none, two\nthree\n", None),  # a comma too many
        ("text\none two\nthree\n", {"text": ["one two", "three"]}),
        ("\ufeffa,b\r\n1,2\r\n", {"a": ["1"], "b": ["2"]}),
        ("a,b\r1,2\r3,4\r", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("y,2019,2020\n1,2,3\n", {"y": ["1"], "2019": ["2"], "2020": ["3"]}),
        ("\n\na,b\n\n1,2\n\n", {"a": ["1"], "b": ["2"]}),
        ("a,b,\n1,2,\n3,4,\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\n1,2,\n3,4,\n", {"a": ["1", "3"], "b": ["2", "4"]}),
        ("a,b\nr1,1,2\nr2,3,4\n", {"unnamed_1": ["r1", "r2"], "a": ["1", "3"], "b": ["2", "4"]}),
        (",a\n0,x\n", {"unnamed_1": ["0"], "a": ["x"]}),
        ("a,a,a\n1,2,3\n", {"a": ["1"], "a.1": ["2"], "a.2": ["3"]}),
        ('"a, b", c\n1, "x, y"\n', {"a, b": ["1"], "c": ["x, y"]}),
        ('a,b\n"x\ny","say ""hi"""\n', {"a": ["x\ny"], "b": ['say "hi"']}),
        ('a,b\n5" disk,2\n', {"a": ['5" disk'], "b": ["2"]}),
        ('a,b\n"5\\" disk, old",2\n', {"a": ['5" disk, old'], "b": ["2"]}),
        ('a,b\n"C:\\\\","x\\\\\\"y"\n', {"a": ["C:\\"], "b": ['x\\"y']}),
        ('a,b\n"C:\\","D:\\"\n', {"a": ["C:\\"], "b": ["D:\\"]}),
        ('a,b\n"x\ny" ,1\n', {"a": ["x\ny "], "b": ["1"]}),
        ("a,b\n,NA\n", {"a": [""], "b": ["NA"]}),
        ("sep=;\na;b\n1,5;2\n", {"a": ["1,5"], "b": ["2"]}),
        ("sep=,\r\na,b\r\n1,2\r\n", {"a": ["1"], "b": ["2"]}),
        ("# made by hand\n# in 2026\na,b\n1,2\n", {"a": ["1"], "b": ["2"]}),
        ("# made by hand\n#a\tb\n1\t2\n3\t4\n", {"#a": ["1", "3"], "b": ["2", "4"]}),
        ("#1,a\n#2,b\n", {"#1": ["#2"], "a": ["b"]}),
        ("PAR1,bzh1\n1,2\n", {"PAR1": ["1"], "bzh1": ["2"]}),  # as Parquet and bzip2 begin
        ("ARROW1\n1\n", {"ARROW1": ["1"]}),
        ("Größe,\u540d\n1,\u4e00\n", {"Größe": ["1"], "\u540d": ["\u4e00"]}),
    ],
)
def test_csv(content, expected, read):
    if expected is None:
        with pytest.raises(UserError, match="line 2: 2 fields, but line 1 names 1 column:"):
            read(content)
        return
    assert columns(read(content)) == expected


@pytest.mark.parametrize(
    ("content", "note"),
    [
        ("a;b\n1;2\n", "the fields are separated by semicolons"),
        (",a\n0,x\n", "column 1 has no name and is called unnamed_1"),
        ("# by hand\na,b\n1,2\n", "passed over 1 line of comments at the top"),
        ("a,a\n1,2\n", "there are several columns 'a'; number 2 is 'a.1'"),
        ("5.1,3.5,x\n4.9,3,y\n", "line 1 is taken for the names of columns, but has numbers"),
        ("8,1,7\n4,9,5\n", "but has numbers (8, 1, 7): if it is a row, add a line of names"),
        (
            "a,b\n1,caf\u00e9\n2,na\u00efve\n".encode("cp1252"),
            "was read as cp1252; if letters",
        ),
    ],
)
def test_what_was_decided_is_told(content, note, read):
    notes = read(content).notes
    assert len(notes) == 1 and note in notes[0]


@pytest.mark.parametrize(
    ("encoding", "text"),
    [
        ("cp1252", "Größe,Straße\n1,Münster\n2,Köln\n"),
        ("cp1252", "élève,âge,ça\n1,forêt,été\n2,Noël,où\n"),
        ("cp1252", "situação,não\n1,ação\n2,coração\n"),
        ("cp1252", "price,ÿ\n€5,½\n€6,“so”\n"),
        ("cp1250", "imię,miasto\n1,Łódź\n2,Gdańsk\n3,żółć\n"),
        ("cp1250", "a,b\nBrno,1\nČeské Budějovice,2\nŠtěpánov,3\n"),
        ("cp1251", "\u0434\u0430,a\n\u041c\u043e\u0441\u043a\u0432\u0430,2\n"),
        ("cp932", "年齢,都市,結果\n" + "1,東京,はい\n2,大阪,いいえ\n" * 9),
        ("cp932", "感想,評価\nこの映画はとても面白かった。,良い\n全然だめでした㈱,悪い\n"),
        ("gb18030", "城市,值\n北京,1\n上海,2\n"),
        ("euc_jp", "感想,評価\nこの映画はとても面白かった。,良い\n全然だめでした,悪い\n"),
        ("euc_kr", "도시,값\n서울,좋음\n부산 영화는 정말 재미있었어요,나쁨\n"),
        ("big5", "城市,值\n台北 今天天氣很好,好\n高雄 產品品質太差了,壞\n"),
        ("koi8_r", "a,b\n1,\u042d\u0442\u043e\u0442 \u0444\u0438\u043b\u044c\u043c\n"),
        ("cp1254", "şehir,iyi\nİstanbul,çok güzel\nMuğla,kötü\n"),
        ("cp1252", "borg,a\nReykjavík,það\nÞórshöfn,ýmis\n"),
        ("utf-16", "Größe,a\n1,2\n"),
        ("utf-32", "Größe,a\n1,2\n"),
    ],
)
def test_encodings_of_spreadsheets(encoding, text, read):
    expected = pd.read_csv(io.StringIO(text), dtype=str).to_dict("list")
    assert columns(read(text.encode(encoding))) == expected


def test_an_encoding_that_the_guess_misses_can_be_named(tmp_path):
    file = tmp_path / "t.csv"
    text = "\u0434\u0430,n\n\u041c\u043e\u0441\u043a\u0432\u0430,1\n\u0434\u0430,2\n"
    file.write_bytes(text.encode("cp866"))
    (note,) = read_table("csv", file).notes
    assert "if letters are wrong, pass its encoding, such as --encoding=" in note
    table = read_table("csv", file, encoding=parse_encoding("CP866"))
    assert columns(table)["n"] == ["1", "2"] and not table.notes
    assert columns(table)["\u0434\u0430"] == [
        "\u041c\u043e\u0441\u043a\u0432\u0430",
        "\u0434\u0430",
    ]
    assert table.find_line(1) == f"{file}, line 3"
    with pytest.raises(UserError, match="not valid EUC_JP"):
        read_table("csv", file, encoding="euc_jp")
    settings = DataConfig("csv:t.csv", encoding="cp866").to_settings()
    assert settings == {"encoding": "cp866"}
    assert recall_encoding(settings, [file]) == "cp866" and recall_encoding({}, [file]) is None
    file.write_text(text)
    assert recall_encoding(settings, [file]) is None
    (note,) = read_table("csv", file, encoding="cp1251").notes
    assert note == f"{file} is UTF-8, and is read as cp1251, as --encoding asks"
    for name in ("latin9000", "utf-16", "base64"):
        with pytest.raises(UserError, match=f"--encoding={name}: expected the name"):
            parse_encoding(name)
    assert parse_encoding("UTF8") == "utf-8-sig" and parse_encoding(None) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"PK\x03\x04 and more", "this is a ZIP archive or a spreadsheet"),
        (b"BZh91AY&SY", "this is compressed by bzip2"),
        (b"PAR1", "this is a Parquet file: pass it as parquet:PATH"),
        ("\n <!DOCTYPE html>\n", "this is a web page: save its table as CSV"),
        ("@relation x\n@attribute y numeric\n", "this is an ARFF file of Weka"),
        ('{"a": 1}\n{"a": 2}\n', "this is JSON: pass it as jsonl:PATH, with one object"),
        ('[\n {"a": 1},\n {"a": 2}]', "this is JSON"),
        ("version https://git-lfs.github.com/spec/v1\n", "fetch it with git lfs pull"),
        (GZIPPED_TWICE, "compressed by gzip twice"),
        (TAR, "this is a tar archive: unpack it"),
        ("", "the file is empty; expected a line of column names"),
        ("a,b\n", "no rows; expected at least one below the column names"),
        ("a,b\n1,2\n3\n4,5\n", "line 3: 1 field, but line 1 names 2 columns: fix one of them"),
        ("a,b\n1,2\n3\n", "2 columns: '3' is the last row: remove it if it is a footer, and if"),
        ("a,b\n1,2\n\n(2 rows affected)\n\n", "line 4: 1 field, but line 1 names 2 columns: '(2 r"),
        (
            "a,b\n1,2\n# half of it\n3,4\n",
            "line 3: 1 field, but line 1 names 2 columns: '# half of "
            "it' looks like a comment: remove it",
        ),
        ("a,b\n1,2\n-- end --\n", "'-- end --' looks like a comment"),
        ("a | b\n---+---\n 1 | 2\n", "line 2: this line is drawn, as of a table: remove it"),
        ("| a | b |\n|---|---|\n| 1 | 2 |\n", "line 2: this line is drawn"),
        ("+---+---+\n| a | b |\n+---+---+\n| 1 | 2 |\n", "line 1: this line is drawn"),
        ("a,b\n1,2\n---+---\n3,4\n", "line 3: 1 field, but line 1 names 2 columns: it is a line"),
        ('a,b\n"x\ny",2\n1,2,3\n', "line 4: 3 fields"),
        ('a,b\n1,2\n3,"x\n\n', "lines 3 to 4: a quote is not closed before the end of the file"),
        ('a,b\n"1,2\n3,4\n"5,6\n', "lines 2 to 4: text follows the closing quote of a field"),
        (b"a,b\n1,\0\n", "line 2: a NUL byte"),
        (b"\x1f\x8babc", "not a whole gzip file"),
        (b"\xff\xfea\0b", "not valid UTF-16"),
    ],
)
def test_what_cannot_be_read_is_named(content, message, read):
    with pytest.raises(UserError) as error:
        read(content)
    assert message in str(error.value) and "t.csv" in str(error.value)


def test_letters_that_were_encoded_twice_are_told(read):
    texts = ["f\u00fcr", "d\u00e9j\u00e0 vu", "it\u2019s"] * 3
    assert not read("t\n" + "\n".join(texts)).notes
    (note,) = read("t\n" + "\n".join(text.encode().decode("cp1252") for text in texts)).notes
    assert "t.csv: 12 letters such as '\u00c3\u00a4' look like UTF-8 that was read in" in note


def test_a_file_without_permission(tmp_path, monkeypatch):
    file = tmp_path / "t.csv"
    file.write_text("a\n1\n")

    def refuse(*_):
        raise PermissionError

    monkeypatch.setattr(table_files.Path, "open", refuse)  # the tests may run as root
    with pytest.raises(UserError, match=r"t\.csv: no permission to read this file: allow it"):
        read_table("csv", file)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-8-sig", "gzip"])
def test_encodings(encoding, read):
    text = "a,b\n\u00e9,\u540d\n"
    content = gzip.compress(text.encode()) if encoding == "gzip" else text.encode(encoding)
    assert columns(read(content)) == {"a": ["\u00e9"], "b": ["\u540d"]}


def test_a_column_name_with_a_line_break_is_told(read):
    table = read('"size\n(cm)",b\n1,2\n')
    assert columns(table) == {"size (cm)": ["1"], "b": ["2"]}
    assert table.notes == (f"{table.path}: the column 'size\\n(cm)' is called 'size (cm)'",)


@pytest.mark.parametrize(
    ("kind", "content"),
    [("csv", "a,Gro\u0308\u00dfe\n1,2\n"), ("jsonl", '{"Gro\u0308\u00dfe": 1}')],
)
def test_accents_in_the_names_of_columns_are_composed(kind, content, read):
    assert "Gr\u00f6\u00dfe" in columns(read(content, kind))
    assert DataConfig(label="Gro\u0308\u00dfe").label == "Gr\u00f6\u00dfe"


def test_a_field_longer_than_a_block(read, monkeypatch):
    monkeypatch.setattr(table_files, "_BLOCK_SIZES", (1000,))
    long = "x" * 200_000
    assert columns(read(f"a,b\n{long},1\n2,3\n")) == {"a": [long, "2"], "b": ["1", "3"]}


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_separator_that_is_named(separator, read):
    # commas are as frequent
    table = read(f"a,x{separator}b\n1,5{separator}2\n", separator=separator)
    assert columns(table) == {"a,x": ["1,5"], "b": ["2"]}


def test_jsonl(read):
    rows = [{"a": 1, "r": {"t": "x", "n": {"k": 2.5}}}, {"a": None, "r": {"t": "y"}, "b": [1]}]
    frame = read("\n".join(map(json.dumps, rows)), "jsonl").frame
    assert list(frame) == ["a", "r.t", "r.n.k", "b"]
    assert frame["r.t"].tolist() == ["x", "y"]
    assert frame["a"].tolist() == [1, None] and frame["b"].tolist() == [None, [1]]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"a.b": 1, "a": {"b": 2}}, "'a.b' is a key, and one within an object too: rename one"),
        ({"a": {"b": 2}, "a.b": 1}, "'a.b' is a key, and one within an object too: rename one"),
        ({"a": {"b\n": 2}}, "'a.b\\n' is not a valid column name"),
    ],
)
def test_keys_that_make_no_column(row, message, read):
    bad = []
    read('{"a": 1}\n' + json.dumps(row), "jsonl", report_bad_row=bad.append)
    assert len(bad) == 1 and bad[0].endswith(f"t.jsonl, line 2: {message}")


def test_parquet_and_its_nested_columns(tmp_path):
    frame = pd.DataFrame(
        {"n": [1.5, np.nan], "i": [1, 2], "s": ["x", None], "r": [{"t": "a"}, {"t": "b"}]}
    )
    frame.to_parquet(tmp_path / "t.parquet")
    table = read_table("parquet", tmp_path / "t.parquet")
    assert list(table.frame) == ["n", "i", "s", "r.t"]
    assert table.frame.iloc[0].tolist() == ["1.5", "1", "x", "a"]
    assert table.frame.isna().iloc[1].tolist() == [True, False, True, False]
    assert table.find_line(1).endswith("t.parquet, row 2")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1")
    with pytest.raises(UserError, match="not a readable Parquet file"):
        read_table("parquet", tmp_path / "broken.parquet")


@pytest.mark.parametrize("end", ["\x1a", "\x1a\n", "\x1a\r\n", "\n\x1a"])
def test_the_mark_of_the_end_of_dos_is_no_row(end, read):
    for content, kind in (("a,b\n1,2\n", "csv"), ("a\n1\n", "csv"), ('{"a": "1"}\n', "jsonl")):
        table = read(content + end, kind)
        assert table.frame["a"].tolist() == ["1"]
        assert [*table.iterate_places()] == [f"{table.path}, line {1 + (kind == 'csv')}"]


def test_lines_below_comments(read):
    table = read("# by hand\na,b\n1,2\n")
    assert table.find_line(0).endswith("t.csv, line 3")


def test_odd_columns_of_parquet(tmp_path):
    bytes_, x = pa.array([b"\xff\x00", b"a"]), pa.array([1, 2])
    words = pa.array([b"u", b"v"])
    names = ["x", "x", "", "b", "t", "d", "z"]
    zone = pa.array([pd.Timestamp("2026-01-01", tz="UTC")] * 2, pa.timestamp("us", "UTC"))
    cells = [x, x, x, bytes_, words, words.dictionary_encode(), zone]
    pa.parquet.write_table(pa.table(cells, names), tmp_path / "t.parquet")
    table = read_table("parquet", tmp_path / "t.parquet")
    assert list(table.frame) == ["x", "x.1", "unnamed_3", "t", "d", "z"]
    assert table.frame.iloc[0].tolist() == ["1"] * 3 + ["u"] * 2 + ["2026-01-01 00:00:00.000000Z"]
    assert [note.partition(".parquet: ")[2] for note in table.notes] == [
        "there are several columns 'x'; number 2 is 'x.1'",
        "column 3 has no name and is called unnamed_3",
        "column 'b' is left out: it has bytes",
    ]
    intervals = pd.DataFrame({"i": pd.arrays.IntervalArray.from_breaks(range(4))})
    intervals.to_parquet(tmp_path / "i.parquet")
    assert list(read_table("parquet", tmp_path / "i.parquet").frame) == ["i.left", "i.right"]


def test_the_separator_of_a_model_is_recalled_where_it_fits(tmp_path):
    (tmp_path / "a.csv").write_text("n:t:more\n1:u,v:2\n")
    (tmp_path / "b.csv").write_text("n,t\n1,u\n")
    both = [tmp_path / "a.csv", tmp_path / "b.csv"]
    assert recall_separator({"separator": ":"}, both[:1], ("n", "t")) == ":"
    assert recall_separator({"separator": ":"}, both, ("n", "t")) is None
    assert recall_separator({"separator": ":"}, both[:1], ("n", "x")) is None
    assert recall_separator({}, both[:1], ("n", "t")) is None


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_lines_of_rows(kind, read):
    csv, jsonl = 'a\n1\n\n"x\ny"\n3\n', '{"a": 1}\n\n{"a": "x"}\n\n\n{"a": 3}\n'
    table = read(csv if kind == "csv" else jsonl, kind)
    lines = [place.split("line ")[1] for place in table.iterate_places()]
    assert lines == (["2", "5", "6"] if kind == "csv" else ["1", "3", "6"])


cells = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs", "Cc"]),
    max_size=8,
)


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.tuples(cells, cells, cells), min_size=1, max_size=12),
    separator=st.sampled_from(",;\t|"),
    newline=st.sampled_from(["\n", "\r\n"]),
)
def test_what_pandas_writes_is_read_as_pandas_reads_it(rows, separator, newline, tmp_path_factory):
    file = tmp_path_factory.mktemp("csv") / "t.csv"
    frame = pd.DataFrame(rows, columns=["first", "b c", "\u540d"])
    frame.to_csv(file, sep=separator, index=False, lineterminator=newline)
    options = {"sep": separator, "dtype": str, "na_filter": False, "skipinitialspace": True}
    expected = pd.read_csv(io.BytesIO(file.read_bytes()), **options)
    if expected.empty:
        return
    table = read_table("csv", file, separator)
    cells = table.frame.apply(lambda column: column.str.lstrip(" "))
    assert [*map(list, cells.to_numpy())] == [*map(list, expected.to_numpy())]
