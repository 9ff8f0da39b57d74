"""Product feeds in RSS and Atom."""

from __future__ import annotations

from pathlib import Path

import pytest

from firstsight.errors import CatalogError
from firstsight.indexer.formats import xml_feed
from tests.indexer.formats.reading import bad_rows, numbers, rows, write

FIELDS = """<g:id>a-1</g:id><g:title>Tea &amp; cup</g:title><g:description>Hot &lt;b&gt;tea&lt;/b&gt;</g:description>
<g:image_link>http://x/1.jpg</g:image_link><g:additional_image_link>http://x/2.jpg</g:additional_image_link>
<g:additional_image_link>http://x/3.jpg</g:additional_image_link><g:price>52.00 USD</g:price>
<g:sale_price>40 USD</g:sale_price><g:item_group_id>a</g:item_group_id><g:brand>Luma</g:brand><g:color>red</g:color>
<g:google_product_category>1604</g:google_product_category><g:product_type>Home &gt; Tea</g:product_type>
<g:shipping><g:country>US</g:country><g:price>5 USD</g:price></g:shipping>
<g:product_highlight>Warm</g:product_highlight><g:product_highlight>Green</g:product_highlight>
<g:availability>in_stock</g:availability><!-- no item --><g:size> </g:size>"""
EXPECTED = {
    "item_id": "a-1",
    "title": "Tea & cup",
    "text": "Hot <b>tea</b>",
    "images": ["http://x/1.jpg", "http://x/2.jpg", "http://x/3.jpg"],
    "price": "52.00 USD",
    "sale_price": "40 USD",
    "group_id": "a",
    "item_group_id": "a",
    "brand": "Luma",
    "color": "red",
    "category": "Home > Tea",
    "product_type": "Home > Tea",
    "google_product_category": "1604",
    "product_highlight": ["Warm", "Green"],
    "availability": "in_stock",
    "link": "http://x/a",
}
NAMESPACE = 'xmlns:g="http://base.google.com/ns/1.0"'


def rss(items: str, before: str = '<?xml version="1.0"?>\n') -> str:
    return f'{before}<rss {NAMESPACE} version="2.0"><channel><title>Shop</title>\n{items}</channel></rss>'


@pytest.mark.parametrize(
    "text",
    [
        rss(f"<item><link>http://x/a</link>{FIELDS}</item>"),
        rss(f"<item><title>no</title>{FIELDS}<id>no</id><link>http://x/a</link></item>", before="\n"),
        f'<feed xmlns="http://www.w3.org/2005/Atom" {NAMESPACE}><title>Shop</title><id>shop</id>'
        f'<entry><id>no</id><link rel="alternate" href="http://x/a"/><summary>no</summary>{FIELDS}</entry></feed>',
    ],
    ids=["RSS", "RSS with plain fields", "Atom"],
)
def test_an_item_has_the_canonical_columns(tmp_path: Path, text: str) -> None:
    assert rows(write(tmp_path / "feed.xml", text)) == [EXPECTED]


def test_plain_fields_of_rss_and_atom_are_used_without_googles(tmp_path: Path) -> None:
    item = "<item><title>Tea</title><description>Hot</description><g:id>1</g:id><category>Home</category></item>"
    (row,) = rows(write(tmp_path / "feed.xml", rss(item)))
    assert row == {"item_id": "1", "title": "Tea", "text": "Hot", "images": [], "category": "Home"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "iso-8859-1", "windows-1252"])
def test_the_encoding_is_the_one_that_the_file_declares(tmp_path: Path, encoding: str) -> None:
    text = rss("<item><g:id>1</g:id><g:title>Café</g:title></item>", f'<?xml version="1.0" encoding="{encoding}"?>\n')
    assert rows(write(tmp_path / "feed.xml", text.encode(encoding)))[0]["title"] == "Café"


def test_items_are_numbered(tmp_path: Path) -> None:
    items = "".join(f"<item><g:id>{number}</g:id></item>" for number in range(2000))
    assert numbers(write(tmp_path / "feed.xml", rss(items))) == list(range(1, 2001))


ATTACKS = {
    "billion laughs": '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]>',
    "external entity": '<?xml version="1.0"?><!DOCTYPE rss [<!ENTITY a SYSTEM "file:///etc/passwd">]>',
    "after a long comment": f'<?xml version="1.0"?><!--{"x" * (1 << 20)}--><!DOCTYPE rss [<!ENTITY a "ha">]>',
    "external document type": '<?xml version="1.0"?><!DOCTYPE rss SYSTEM "http://127.0.0.1/x.dtd">',
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_entities_and_document_types_are_refused(tmp_path: Path, attack: str) -> None:
    with pytest.raises(CatalogError, match="declares a document type or entities, which are refused"):
        rows(write(tmp_path / "feed.xml", rss("<item><g:title>&a;</g:title></item>", ATTACKS[attack])))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "iso-8859-1", "windows-1252", "koi8-r"])
def test_document_types_are_refused_in_every_encoding(tmp_path: Path, encoding: str) -> None:
    declared = "utf-8" if encoding == "utf-8-sig" else encoding
    text = f'<?xml version="1.0" encoding="{declared}"?><!DOCTYPE rss [<!ENTITY a "ha">]>{rss("", before="")}'
    with pytest.raises(CatalogError, match="declares a document type or entities, which are refused"):
        rows(write(tmp_path / "feed.xml", text.encode(encoding)))


def test_a_huge_attribute_is_read_in_blocks_of_a_mebibyte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: list[int] = []
    read = xml_feed._LimitedReader.read

    def counted(reader: xml_feed._LimitedReader, size: int = -1) -> bytes:
        blocks.append(len(block := read(reader, size)))
        return block

    monkeypatch.setattr(xml_feed._LimitedReader, "read", counted)
    text = rss(f'<item note="{"x" * (8 << 20)}"><g:id>1</g:id></item>')
    assert len(rows(write(tmp_path / "feed.xml", text))) == 1
    assert len(blocks) < 20


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (rss("<item><g:id>1</g:id></item>\n<item><g:id>2</g:id>")[:-30], r"line \d.*after item 1: not well-formed XML"),
        ("<rss><item><g:id>1</g:id></item></rss>", 'unbound prefix.*declare the prefix, such as xmlns:g="http://base'),
        (rss("<item><g:id>1 & 2</g:id></item>"), r"line 3, column \d+: not well-formed XML"),
        ("<products><product/></products>", "the first element <products>, not a product feed"),
        ("<rss", "not well-formed XML"),
        ('<?xml version="1.0" encoding="klingon"?><rss/>', "the XML cannot be read|not well-formed XML"),
    ],
)
def test_a_file_that_is_no_feed_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=message):
        rows(write(tmp_path / "feed.xml", text))


def test_an_item_with_too_many_elements_is_a_bad_row(tmp_path: Path) -> None:
    text = rss("<item>" + "<g:x>1</g:x>" * 2000 + "</item><item><g:id>1</g:id></item>")
    assert bad_rows(write(tmp_path / "feed.xml", text)) == {1: "2,000 elements in one item, but the maximum is 1,000"}


def test_an_element_without_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xml_feed, "MAX_ELEMENT", 1 << 20)
    text = rss("<item><g:title>" + "x" * (3 << 20) + "</g:title></item>")
    with pytest.raises(CatalogError, match="more than 1 MiB without the end of an <item>"):
        rows(write(tmp_path / "feed.xml", text))


def test_deep_nesting_is_read_without_recursion(tmp_path: Path) -> None:
    deep = "<a>" * 50_000 + "</a>" * 50_000
    (row,) = rows(write(tmp_path / "feed.xml", rss(f"<item><g:id>1</g:id>{deep}</item>")))
    assert row["item_id"] == "1"
