"""What shops call the columns of their logs: the one table of synonyms for events."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from firstsight.indexer.columns.column_names import plain_name

REQUIRED = ("user_id", "item_id", "timestamp")
"""Our columns that a log must have; a log of searches alone has `query` in place of `item_id`."""

SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        *("user_id", "user", "uid", "customer_id", "customer", "customer_number", "customer_no", "customer_user"),
        *("client", "client_number", "member_id", "member", "account_id", "buyer_id", "buyer", "shopper_id", "shopper"),
        *("profile_id", "person_id", "contact_id", "reviewer_id", "user_pseudo_id", "client_id", "full_visitor_id"),
        *("visitor_id", "visitor", "anonymous_id", "device_id", "cookie_id", "distinct_id", "external_customer_id"),
        *("email", "e_mail", "email_address", "user_email", "customer_email", "contact_email", "billing_email"),
        *("email_billing", "phone", "customer_phone", "billing_phone"),
    ),
    "item_id": (
        *("item_id", "item", "sku", "item_sku", "product_sku", "lineitem_sku", "line_item_sku", "variant_sku"),
        *("product_id", "item_product_id", "lineitem_product_id", "product", "variant_id", "product_variant_id"),
        *("lineitem_variant_id", "variation_id", "items_item_id", "article_id", "article", "article_number", "asin"),
        *("parent_asin", "stock_code", "content_id", "object_id", "listing_id", "goods_id", "offer_id", "style_id"),
        *("movie_id", "book_id", "video_id", "track_id", "product_code", "item_code", "barcode", "gtin", "ean", "upc"),
        *("live_id", "live_room_id", "room_id", "live_stream_id", "livestream_id", "stream_id", "broadcast_id"),
        *("photo_id", "clip_id", "short_video_id", "note_id", "post_id"),
    ),
    "timestamp": (
        *("timestamp", "ts", "event_timestamp", "event_time", "time", "datetime", "date_time", "time_stamp"),
        *("created_at", "created", "processed_at", "paid_at", "occurred_at", "purchased_at", "ordered_at", "viewed_at"),
        *(
            "clicked_at",
            "date_created_gmt",
            "date_created",
            "created_date",
            "order_date",
            "order_time",
            "order_datetime",
        ),
        *("purchase_date", "purchase_time", "invoice_date", "transaction_date", "transaction_time", "date_paid"),
        *("paid_date", "original_timestamp", "sent_at", "received_at", "review_time", "unix_review_time"),
        *("server_time", "client_time", "hit_time", "visit_time", "log_time", "event_at", "time_ms", "timestamp_ms"),
        *("searched_at", "search_time", "search_timestamp", "search_session_timestamp", "search_session_time"),
    ),
    "event": (
        *("event", "event_type", "event_name", "action", "action_type", "interaction", "interaction_type"),
        *("behavior", "behaviour", "behavior_type", "activity", "activity_type"),
    ),
    "weight": ("weight", "event_weight"),
    "query": (
        *("query", "search_query", "query_text", "search_term", "search_keyword", "keyword", "keywords", "search_text"),
        *("search_terms", "search_keywords", "search_phrase", "search_string", "searched_text", "q", "query_string"),
        *("site_search_term", "internal_search_term", "raw_query", "user_query"),
    ),
}
"""Our columns and the names for them, the most usual first. Of names with values equally often the first one counts."""

LAST_RESORTS: Mapping[str, tuple[str, ...]] = {
    "user_id": (
        *("session_id", "session", "ga_session_id", "visit_id", "basket_id", "cart_id", "order_id", "order_number"),
        *("order_no", "order_name", "invoice_no", "invoice_id", "invoice", "transaction_id", "receipt_id"),
    ),
    "timestamp": ("event_date", "date", "day", "event_day"),
    "event": ("type",),
}
"""Names that count only if no other column fits: they tell less, or often mean something else."""

NOT_WEIGHTS = ("quantity", "qty", "rating", "stars", "lineitem_quantity", "overall", "review_score", "item_quantity")
"""Names of numbers that look like weights. They are not used unless --map says so: a rating of 1 is a dislike, and an
order of 100 screws does not show a hundred times the interest."""

ORDER_NUMBERS = ("order_id", "order_number", "order_no", "order_name", "invoice_no", "invoice_id", "transaction_id")

POSITIONS = ("position", "order", "sequence", "seq", "step", "rank", "index", "idx", "event_order", "sequence_number")
"""Names of columns that may hold the order of events in a log without times."""


@lru_cache(maxsize=4096)
def role_of(name: str) -> str | None:
    """Our column that a name of a file stands for; None for other names."""
    plain = plain_name(name)
    for table in (SYNONYMS, LAST_RESORTS):
        for ours, names in table.items():
            if plain in names:
                return ours
    return None


def rank_of(ours: str, name: str) -> int | None:
    """Place of a name among those of our column, last resorts after all others; None if it is not one of them."""
    names = (*SYNONYMS[ours], *LAST_RESORTS.get(ours, ()))
    plain = plain_name(name)
    return names.index(plain) if plain in names else None


def is_last_resort(ours: str, name: str) -> bool:
    """Whether a name counts for our column only if no other column does."""
    return plain_name(name) in LAST_RESORTS.get(ours, ())
