"""The headers that shops' files really have are recognised without options."""

from __future__ import annotations

from typing import Any

import pytest

from tests.indexer.columns.conftest import Check

A, B = "https://cdn.example/a.jpg", "https://cdn.example/b.jpg"

GOOGLE: dict[str, Any] = {
    "id": "A1",
    "title": "Shoe",
    "description": "Soft.",
    "link": "https://shop.example/a1",
    "image_link": A,
    "additional_image_link": f"{B},https://cdn.example/w_300,h_300/c.jpg",
    "availability": "in_stock",
    "price": "57.00 USD",
    "sale_price": "49.00 USD",
    "google_product_category": "187",
    "product_type": "Shoes > Running",
    "item_group_id": "G1",
    "color": "red",
}
C = "https://cdn.example/w_300,h_300/c.jpg"

HEADERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "Google Merchant": (GOOGLE, {"images": (A, B, C), "price": 57.0, "sale_price": 49.0, "currency": "USD"}),
    "Google Merchant, g: names": (
        {f"g:{name}": value for name, value in GOOGLE.items()},
        {"images": (A, B, C), "group_id": "G1", "category": "Shoes > Running"},
    ),
    "Facebook catalogue": (
        {
            "id": "A1",
            "title": "Shoe",
            "description": "Soft.",
            "availability": "in stock",
            "condition": "new",
            "price": "10,00 EUR",
            "link": "https://shop.example/a1",
            "image_link": "https://cdn.example/a",
            "brand": "Luma",
            "fb_product_category": "shoes",
            "video[0].url": "https://cdn.example/a.mp4",
        },
        {
            "images": ("https://cdn.example/a",),
            "videos": ("https://cdn.example/a.mp4",),
            "price": 10.0,
            "currency": "EUR",
        },
    ),
    "Shopify export": (
        {
            "Handle": "shoe",
            "Title": "Shoe",
            "Body (HTML)": "<p>Soft.</p>",
            "Vendor": "Luma",
            "Type": "Shoes",
            "Variant SKU": "A1",
            "Variant Price": "57.00",
            "Variant Compare At Price": "67.00",
            "Image Src": A,
            "Image Position": "1",
            "Image Alt Text": "front",
        },
        {"images": (A,), "price": 57.0, "category": "Shoes", "Vendor": "Luma", "Variant Compare At Price": 67.0},
    ),
    "Shopify export of 2024": (
        {
            "Title": "Shoe",
            "URL handle": "shoe",
            "Description": "Soft.",
            "SKU": "A1",
            "Price": "57.00",
            "Product image URL": A,
        },
        {"images": (A,), "price": 57.0, "URL handle": "shoe"},
    ),
    "WooCommerce": (
        {
            "ID": "7",
            "SKU": "A1",
            "Name": "Shoe",
            "Short description": "Short.",
            "Description": "Soft.",
            "Regular price": "57",
            "Sale price": "49",
            "Categories": "Shoes > Running",
            "Images": f"{A}, {B}",
            "Type": "simple",
        },
        {"item_id": "7", "images": (A, B), "price": 57.0, "sale_price": 49.0, "category": "Shoes > Running"},
    ),
    "Magento": (
        {
            "sku": "A1",
            "name": "Shoe",
            "description": "Soft.",
            "price": "57.0000",
            "special_price": "49.0000",
            "url_key": "shoe",
            "image": A,
            "small_image": "https://cdn.example/small.jpg",
            "thumbnail": "https://cdn.example/thumb.jpg",
            "additional_images": f"{A},{B}",
            "categories": "Default/Shoes",
        },
        {"images": (A, B), "price": 57.0, "sale_price": 49.0, "category": "Default/Shoes", "url_key": "shoe"},
    ),
    "BigCommerce": (
        {
            "Product ID": "9",
            "Product Code/SKU": "X",
            "Name": "Shoe",
            "Description": "Soft.",
            "Price": "57",
            "Category": "Shoes",
            "Image URL 1": A,
            "Image URL 2": B,
        },
        {"item_id": "9", "images": (A, B), "price": 57.0, "category": "Shoes"},
    ),
    "Etsy": (
        {
            "TITLE": "Shoe",
            "DESCRIPTION": "Soft.",
            "PRICE": "57",
            "CURRENCY_CODE": "USD",
            "IMAGE2": B,
            "IMAGE1": A,
            "SKU": "A1",
        },
        {"images": (A, B), "price": 57.0, "currency": "USD"},
    ),
    "eBay": (
        {
            "CustomLabel": "A1",
            "Title": "Shoe",
            "Description": "Soft.",
            "PicURL": f"{A}|{B}",
            "StartPrice": "57",
            "Category": "1",
        },
        {"images": (A, B), "price": 57.0, "category": "1"},
    ),
    "Amazon flat file": (
        {
            "item_sku": "A1",
            "item_name": "Shoe",
            "product_description": "Soft.",
            "standard_price": "57",
            "main_image_url": A,
            "other_image_url1": B,
            "swatch_image_url": "https://cdn.example/swatch.jpg",
            "parent_sku": "G1",
            "color_name": "red",
        },
        {"images": (A, B), "price": 57.0, "group_id": "G1", "parent_sku": "G1"},
    ),
    "German": (
        {
            "Artikelnummer": "A1",
            "Bezeichnung": "Shoe",
            "Beschreibung": "Soft.",
            "Preis": "1.257,00 €",
            "Bild": A,
            "Bild 2": B,
        },
        {"images": (A, B), "price": 1257.0, "currency": "EUR"},
    ),
    "French": (
        {"Référence": "A1", "Nom du produit": "Shoe", "Description": "Soft.", "Prix TTC": "57,00 €", "Lien image": A},
        {"images": (A,), "price": 57.0, "currency": "EUR"},
    ),
    "Spanish": (
        {
            "Código": "A1",
            "Título": "Shoe",
            "Descripción": "Soft.",
            "Precio": "57,00",
            "Imagen": A,
            "Categoría": "Zapatos",
        },
        {"images": (A,), "price": 57.0, "category": "Zapatos"},
    ),
    "JSON of an API": (
        {
            "id": 1,
            "name": "Shoe",
            "description": "Soft.",
            "price": {"amount": "57.00", "currency_code": "USD"},
            "images": [{"id": 5, "src": A}, {"src": B}],
            "category": {"id": 3, "name": "Shoes"},
            "imageUrl": A,
        },
        {"item_id": "1", "images": (A, B), "price": 57.0, "currency": "USD", "category": "Shoes"},
    ),
    "captioned pictures": (
        {"id": "A1", "caption": "Shoe", "text": "Soft.", "url": A},
        {"images": (A,)},
    ),
    "this project": (
        {"item_id": "A1", "title": "Shoe", "text": "Soft.", "images": f"{A}|{B}", "price": 57.5, "parent": "G1"},
        {"images": (A, B), "price": 57.5, "group_id": "G1", "parent": "G1"},
    ),
}


@pytest.mark.parametrize("kind", sorted(HEADERS))
def test_the_columns_of_real_files_are_recognised(kind: str, check: Check) -> None:
    row, expected = HEADERS[kind]
    expected = {"item_id": "A1", "title": "Shoe", "text": "Soft."} | expected
    (item,) = check([row]).items()
    values = {name: getattr(item, name, None) for name in ("item_id", "title", "text", "images", "videos")}
    assert {name: (values | dict(item.columns)).get(name) for name in expected} == expected
