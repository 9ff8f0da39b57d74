"""Names of columns in shops' files, and the field that each of them means.

The names come from the formats themselves (Google Merchant, Facebook catalogue, Shopify, WooCommerce, Magento,
BigCommerce, Etsy, eBay, Amazon), from programming interfaces of shops, and from German, French, Spanish, Italian and
Dutch files. A name is compared without case, blanks, punctuation, accents, brackets, a prefix such as `g:` and a number
at its end.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NAMES: Final[Mapping[str, str]] = {
    "item_id": """
        item_id, id, sku, variant_sku, item_sku, product_sku, seller_sku, stock_keeping_unit, variant_id,
        offer_id, retailer_id, content_id, item_number, item_no, item_nr, article_id, article_number,
        article_no, artikelnummer, artikelnr, artikel_nr, art_nr, artikel_id, artnr, artikelcode, custom_label,
        product_code, item_code, code, listing_id, external_id, asin, product_id, product_number, produkt_id,
        produktnummer, product_key, entity_id, goods_id, style_id, uid, uuid, guid, key, reference, ref,
        referencia, referenz, codigo, codice, identifiant, identificador, numero_article, numero_de_producto,
        handle, slug, url_key, gtin, ean, upc, barcode, isbn, mpn""",
    "group_id": """
        group_id, item_group_id, product_group_id, variant_group_id, parent, parent_id, parent_sku,
        parent_item_id, parent_product_id, product_parent_id, parent_product, parent_asin, configurable_parent,
        configurable_sku, configurable_id, master_id, master_sku, master_product_id, model_id, product_group,
        group, family_id, style_id, style_number, vater_artikel, vaterartikel, hauptartikel, produktgruppen_id,
        id_parent, handle, product_id, product_handle, handle_id""",
    "title": """
        title, name, product_title, product_name, item_name, item_title, display_name, listing_title, product,
        headline, variant_title, label, titel, produkttitel, produktname, produktbezeichnung, artikelname,
        artikelbezeichnung, bezeichnung, artikel, titre, nom, nom_du_produit, nom_produit, nom_de_produit,
        libelle, designation, intitule, nombre, nombre_del_producto, nombre_producto, titulo,
        titulo_del_producto, titolo, nome, nome_prodotto, nome_do_produto, titel_product, productnaam, naam,
        nazwa, caption""",
    "text": """
        text, description, body_html, body, long_description, product_description, full_description,
        item_description, description_html, html_description, descriptionHtml, short_description, details,
        content, summary, excerpt, abstract, beschreibung, produktbeschreibung, artikelbeschreibung,
        langbeschreibung, langtext, kurzbeschreibung, kurztext, description_longue, description_produit,
        description_du_produit, description_courte, texte, descriptif, descripcion, descripcion_larga,
        descripcion_corta, descripcion_del_producto, descrizione, descrizione_lunga, descrizione_breve,
        descricao, omschrijving, productomschrijving, beschrijving, opis, about, desc, caption""",
    "price": """
        price, regular_price, variant_price, current_price, unit_price, selling_price, retail_price,
        standard_price, your_price, base_price, item_price, product_price, price_amount, price_value,
        start_price, buy_it_now_price, list_price, price_incl_tax, price_including_tax, gross_price, preis,
        verkaufspreis, bruttopreis, einzelpreis, vk_preis, vk_brutto, vk, prix, prix_ttc, prix_de_vente, precio,
        precio_regular, precio_de_venta, pvp, prezzo, preco, prijs, cena,
        price_tax_excluded_or_price_tax_included, msrp, rrp, uvp""",
    "sale_price": """
        sale_price, special_price, discount_price, discounted_price, offer_price, promo_price,
        promotional_price, promotion_price, reduced_price, deal_price, sonderpreis, angebotspreis, aktionspreis,
        prix_promo, prix_promotionnel, prix_solde, prix_barre, precio_oferta, precio_rebajado, precio_de_oferta,
        prezzo_scontato, preco_promocional, aanbiedingsprijs""",
    "currency": """
        currency, currency_code, price_currency, currency_iso, iso_currency, currency_id, waehrung, wahrung,
        devise, monnaie, moneda, valuta, divisa, moeda""",
    "category": """
        category, product_type, product_category, category_name, category_path, categories, category_title,
        primary_category, main_category, product_categories, item_category, item_type, department, taxonomy,
        category_tree, breadcrumb, breadcrumbs, kategorie, kategorien, warengruppe, produktkategorie,
        produktgruppe, categorie, categories_produit, rayon, categoria, categorias, categorie_prodotto, categorieen,
        kategoria, standard_product_type, custom_product_type, type, google_product_category,
        fb_product_category""",
    "subtitles": """
        subtitles, subtitle, subtitle_url, subtitle_urls, subtitle_file, subtitle_files, subtitle_link,
        subtitle_path, subs, captions, caption_file, caption_files, caption_url, caption_urls, closed_captions,
        timed_text, timed_texts, text_track, text_tracks, transcript, transcripts, transcript_file, transcript_url,
        transcription, speech, srt, srt_file, srt_url, vtt, vtt_file, vtt_url, untertitel, untertitel_datei,
        transkript, sous_titres, transcription_audio, subtitulos, transcripcion, sottotitoli, trascrizione,
        legendas, transcricao, ondertitels, ondertiteling, napisy""",
    "kind": "kind",
    "created_at": "created_at",
    "starts_at": "starts_at",
    "expires_at": "expires_at",
    # products that a video shows, with their seconds
    "timed_products": """
        timed_products, product_times, product_timestamps, product_moments, product_timeline, products_in_video,
        video_products, shoppable_products, tagged_products, shown_products""",
    # the main picture, best first
    "main image": """
        variant_image, variant_image_url, main_image, main_image_url, main_image_link, main_picture, main_photo,
        primary_image, primary_image_url, primary_photo, featured_image, featured_image_url, cover_image, cover,
        cover_photo, hero_image, default_image, base_image, base_image_url, front_image, image_link, image_src,
        image, image_url, img, img_url, img_src, img_link, product_image, product_image_url, item_image,
        image_file, image_path, picture, picture_url, picture_link, pic, pic_url, photo, photo_url, photo_link,
        hauptbild, hauptbild_url, artikelbild, produktbild, bild, bild_url, bildlink, bilddatei, foto, foto_url,
        foto_principal, foto_principale,
        image_principale, photo_principale, visuel, lien_image, url_image, url_de_l_image, imagen,
        imagen_principal, url_imagen, enlace_imagen, immagine, immagine_principale, imagem, imagem_principal,
        afbeelding, afbeelding_url,
        zdjecie, image_large, image_large_url, large_image, large_image_url, image_original, original_image,
        image_1920, high_res_image""",
    # further pictures of the item
    "more images": """
        images, image_urls, image_links, product_images, product_image_urls, all_images, image_list,
        more_images, more_image_urls, additional_image_link, additional_image_links, additional_images,
        additional_image, additional_image_url, additional_image_urls, other_image_url, other_image_urls,
        other_images, other_image, extra_images, extra_image, alternate_images, alternate_image, alt_images,
        alternative_images, secondary_images, secondary_image, gallery, gallery_images, image_gallery,
        media_gallery, product_gallery, gallery_urls, pictures, picture_urls, pics, photos, photo_urls, imgs,
        media, media_urls, media_url, assets, bilder, bilder_urls, weitere_bilder, zusatzbilder, zusatzbild,
        bildergalerie, fotos, images_supplementaires, autres_images, galerie, imagenes, imagenes_adicionales,
        galeria, visuels, immagini, immagini_aggiuntive, imagens, afbeeldingen, extra_afbeeldingen, back_image,
        side_image, hover_image, lifestyle_image, rear_image""",
    # small copies of pictures: used if there are no others
    "small image": """
        small_image, small_image_url, image_small, image_small_url, medium_image, image_medium,
        image_medium_url, thumbnail, thumbnail_url, thumbnail_image, thumbnail_link, thumbnails, thumb,
        thumb_url, thumbs, image_thumb, image_thumbnail, thumbnail_src, mini_image, preview, preview_image,
        preview_url, vorschaubild, miniature, vignette, miniatura, poster, poster_url, video_thumbnail""",
    "videos": """
        videos, video, video_link, video_links, video_url, video_urls, video_src, video_file, video_path,
        product_video, product_videos, clip, clips, clip_url, movie, movie_url, trailer, trailer_url, film,
        videolink, enlace_video, lien_video, url_video""",
}
"""Names of each field, best first. A name may stand in several fields; the values decide between them."""

VARIANT_NAMES: Final = """
    color, colour, color_name, farbe, couleur, colore, cor, kleur, kolor, size, size_name, grosse, groesse,
    taille, talla, taglia, tamano, tamanho, maat, rozmiar, material, materiau, materiale, matiere, pattern,
    muster, motif, style, style_name, flavour, flavor, flavour_name, geschmack, gout, sabor, scent, scent_name,
    fragrance, duft, parfum, finish, fit, cut, length, laenge, width, breite, shoe_width, inseam, waist,
    cup_size, capacity, storage, storage_capacity, memory, ram, voltage, edition, format, pack_size,
    package_size, pack, count, quantity_per_pack, unit_count, volume, gender, age_group, shade, print, theme,
    metal, gemstone, stone, frame, option1, option2, option3, option_1_value, option_2_value, option_3_value,
    option1_value, option2_value, option3_value, variant, variante, variation, ausfuehrung, ausfuhrung, version"""
"""Names of columns that tell the variants of a product apart."""

JOINED_NAMES: Final = "sku, gtin, ean, upc, barcode, isbn, mpn, variant_sku, variant_barcode, asin"
"""Names of numbers that identify a variant, so that a merged item keeps all of them."""

_TAX_WORDS: Final = _words(
    """
    gross brutto ttc tax taxes vat incl inkl including inclusive mwst ust iva btw eur usd gbp chf in
    """
)
"""Words in names of price columns, beside a name of the field: price_gross, "Preis inkl. MwSt."."""

_PLACE_WORDS: Final = _words("main primary principal principale default cover front back side haupt")
_LINK_WORDS: Final = _words(
    """
    url urls uri uris link links href src address path file files list large original
    """
)
_PICTURE_WORDS: Final = _words(
    """
    image images img imgs picture pictures pic pics photo photos thumbnail thumbnails thumb thumbs media gallery
    bild bilder foto fotos imagen imagenes immagine immagini afbeelding afbeeldingen
    """
)
_MORE_WORDS: Final = _words(
    """
    more additional other extra alt alternate alternative secondary back side gallery
    """
)
_SMALL_WORDS: Final = _words(
    """
    small medium mini tiny thumb thumbs thumbnail thumbnails preview icon xs low lowres
    """
)
_OTHER_PICTURES: Final = _words(
    """
    logo logos icon icons swatch swatches avatar flag badge badges banner chart sizechart qr qrcode placeholder
    watermark favicon signature author brand brands vendor vendors seller sellers manufacturer user category
    categories collection collections review reviews related similar upsells accessories size energy label
    energylabel
    """
)
_PREFIX: Final = re.compile(r"^[A-Za-z]{1,3}:(?=\w)|^\{[^}]*\}|^c:|^@")
_BRACKETS: Final = re.compile(r"\([^)]*\)|\[[^\]]*\]|\{[^}]*\}|<[^>]*>")
_PARENT_WORDS: Final = _words("parent master configurable vater vaterartikel hauptartikel")
_CACHED_NAMES: Final = 4096  # names come from files, which may have any number of them
_WORDS: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_A-Za-z]+|\d+")


@lru_cache(maxsize=_CACHED_NAMES)
def words_of(name: str) -> tuple[str, ...]:
    """Split a name into lower-case words and numbers: "Image Src", "imageSrc" and "g:image_src" give the same words."""
    plain = _BRACKETS.sub(" ", _PREFIX.sub("", name.strip()[:200]))
    plain = unicodedata.normalize("NFKD", plain.replace("ß", "ss"))
    plain = "".join(character for character in plain if not unicodedata.combining(character))
    return tuple(word.lower() for word in _WORDS.findall(plain))


@lru_cache(maxsize=_CACHED_NAMES)
def plain_name(name: str) -> str:
    """Write a column name in lower case with underscores; `Customer ID`, `customerId` and `customer.id` are equal."""
    return "_".join(words_of(name))


@lru_cache(maxsize=_CACHED_NAMES)
def key_of(name: str) -> str:
    """The form in which names are compared: words without blanks and without a number at the end."""
    words = words_of(name)
    while len(words) > 1 and words[-1].isdecimal():
        words = words[:-1]
    return "".join(words)


def number_of(name: str) -> int:
    """The number at the end of a name, such as 2 of `image2`; 0 without one."""
    last = words_of(name)[-1:]
    return int(last[0][:9]) if last and last[0].isdecimal() else 0


@cache
def _ranks(field: str) -> Mapping[str, int]:
    names = [key_of(name.strip()) for name in NAMES[field].split(",")]
    return {name: rank for rank, name in reversed(list(enumerate(names)))}


@cache
def _keys(names: str) -> frozenset[str]:
    return frozenset(key_of(name.strip()) for name in names.split(","))


def rank_of(name: str, field: str) -> int | None:
    """Place of a name among the names of a field, 0 for the best; None if it is not one of them."""
    rank = _ranks(field).get(key_of(name))
    if rank is None and field in ("price", "sale_price"):
        words = [word for word in words_of(name) if not word.isdecimal()]
        plain = _ranks(field).get("".join(word for word in words if word not in _TAX_WORDS))
        return None if plain is None else plain + len(_ranks(field))
    return rank


def is_variant_name(name: str) -> bool:
    """Whether a column with this name tells the variants of a product apart."""
    return key_of(name) in _keys(VARIANT_NAMES) or "".join(words_of(name)) in _keys_with_numbers()


def is_joined_name(name: str) -> bool:
    """Whether a column has numbers that identify a variant, such as barcodes."""
    return key_of(name) in _keys(JOINED_NAMES)


def names_parent(name: str) -> bool:
    """Whether a column names the parent of a variant, where 0 says that there is none; a group can have the id 0."""
    return not _PARENT_WORDS.isdisjoint(words_of(name))


@cache
def _keys_with_numbers() -> frozenset[str]:
    return frozenset("".join(words_of(name.strip())) for name in VARIANT_NAMES.split(","))


def looks_like_pictures(name: str) -> bool:
    """Whether a column has a picture name: image_url, mainImage, "additional image link", photo2."""
    if any(rank_of(name, field) is not None for field in ("main image", "more images", "small image")):
        return True
    words = [word for word in words_of(name) if not word.isdecimal()]
    while words and words[-1] in _LINK_WORDS | _PLACE_WORDS:
        words.pop()
    return bool(words) and words[-1] in _PICTURE_WORDS


def shows_something_else(name: str) -> bool:
    """Whether the name of a picture column says that it does not show the item: a logo, a swatch, a size chart."""
    return not _OTHER_PICTURES.isdisjoint(words_of(name))


def is_main_picture(name: str) -> bool:
    """Whether a column has a known name of the item's main picture, without a number such as image2."""
    return rank_of(name, "main image") is not None and number_of(name) <= 1


def picture_order(name: str) -> tuple[int, int, int]:
    """Sort key of picture columns: main pictures, further ones, unknown names, small copies; then by rank and number.

    Returns:
        The group (0 main, 1 further, 2 unknown name, 3 small copy), the rank within it, and the number of the name.
    """
    number = number_of(name)
    for group, field in ((0, "main image"), (1, "more images"), (3, "small image")):
        rank = rank_of(name, field)
        if rank is not None:
            return (1, 500, number) if group == 0 and number > 1 else (group, rank, number)
    words = set(words_of(name))
    if not looks_like_pictures(name):
        return 2, 0, number
    if words & _SMALL_WORDS:
        return 3, 900, number
    if words & _MORE_WORDS or number > 1:
        return 1, 900, number
    return 0, 900, number
