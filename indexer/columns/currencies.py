"""Currencies as shops write them: codes, symbols and abbreviations."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from typing import Final

_CODES: Final = """
    AED AFN ALL AMD ANG AOA ARS ATS AUD AWG AZN BAM BBD BDT BEF BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BYR
    BZD CAD CDF CHF CLF CLP CNH CNY COP CRC CUC CUP CVE CYP CZK DEM DJF DKK DOP DZD EEK EGP ERN ESP ETB EUR FIM
    FJD FKP FRF GBP GEL GGP GHS GIP GMD GNF GRD GTQ GYD HKD HNL HRK HTG HUF IDR IEP ILS IMP INR IQD IRR ISK ITL
    JEP JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LTL LUF LVL LYD MAD MDL MGA MKD MMK
    MNT MOP MRO MRU MTL MUR MVR MWK MXN MYR MZN NAD NGN NIO NLG NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PRB PTE
    PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SIT SKK SLE SLL SOS SRD SSP STD STN SVC SYP SZL THB TJS
    TMT TND TOP TRY TTD TVD TWD TZS UAH UGX USD UYU UZS VED VEF VES VND VUV WST XAF XCD XCG XOF XPF YER ZAR ZMK
    ZMW ZWD ZWG ZWL
"""
ISO_CODES: Final = frozenset(_CODES.split())
"""ISO 4217 codes of current currencies and of those that ended since 1999, without metals and funds."""

# fmt: off
_UNIQUE_SYMBOLS: Final[Mapping[str, str]] = {
    "AUD": "A$ AU$", "BGN": "ЛВ ЛВ.", "BRL": "R$", "CAD": "C$ CA$", "CHF": "FR. SFR. SFR", "CNY": "CN¥ 元 RMB",
    "CRC": "₡", "CZK": "KČ", "EUR": "€ EURO", "GBP": "£", "GEL": "₾", "HKD": "HK$", "HUF": "FT", "IDR": "RP",
    "ILS": "₪", "INR": "₹", "JPY": "円 JP¥", "KRW": "₩ 원", "KZT": "₸", "MXN": "MX$", "MYR": "RM", "NGN": "₦",
    "NZD": "NZ$", "PHP": "₱", "PLN": "ZŁ", "PYG": "₲", "RON": "LEI", "RUB": "₽ РУБ РУБ.", "SGD": "S$", "THB": "฿",
    "TRY": "₺ TL", "TWD": "NT$", "UAH": "₴ ГРН ГРН.", "USD": "US$ U$S", "VND": "₫",
}
# fmt: on
"""ISO 4217 code -> symbols of this currency alone, in upper case. `$`, `¥` and `kr` belong to several."""

_CODE_OF_SYMBOL: Final = {symbol: code for code, symbols in _UNIQUE_SYMBOLS.items() for symbol in symbols.split()}

_SHARED: Final = """
    $U AF AFL. AR$ B/. BD BDS$ BN$ BR BS BS.F. BZ$ CF CFA CFP CL$ CO$ CUC$ CV$ D D-MARK DA DB DIN. DINARA DKR DM
    DT F FBU FC FCFA FDJ FG FL. FR FRCD G GH₵ IKR IR£ J$ JD K KD KM KN KR KR. KROON KSH KZ L LB£ LD LE LEK LEU
    LITŲ LM LS LT MAN. MK MK. MOP$ MRF MTN MURS N$ NFK NKR NPRS NTD NU. P PKRS PT PTA PTAS PTS Q QR R RD$ RF RS
    S/. SK SKR SLRE SLRS SR SSH SUCRE SY£ T T$ TK TOLARJEV TSH TT$ UF UM USH VT WS$ YR Z$ ZK ÖS Đ Ƒ ΔΡ. ΔΡΧ. ДИН.
    ДИНАР МАН. Р. ТҢГ ТҢГ. ԴՐ ԴՐ. ℳ تومان ج.م. جنيه د.أ. د.إ. د.ب. د.ت. د.ج. د.ع. د.ك. د.ل. د.م. درهم ر.س. ر.ع.
    ر.ق. ر.ي. ريال ریال ل.س. ل.ل. ރ नेरू र টকা
"""
_OTHER_SYMBOLS: Final = frozenset(_SHARED.split())
"""Further symbols and abbreviations in upper case; some belong to several currencies."""

_PARTS_OF_UNITS: Final = frozenset("¢￠₥")
"""Unicode's currency symbols for a hundredth or thousandth."""


def currency_code(text: str) -> str:
    """The ISO 4217 code of a currency's symbol or code; the text itself if several currencies share it."""
    plain = text.strip().removesuffix(":")
    return _CODE_OF_SYMBOL.get(plain.upper(), plain.upper() if plain.upper() in ISO_CODES else plain)


def is_currency(text: str) -> bool:
    """Whether a text without spaces is a code, symbol or abbreviation of a currency."""
    upper = text.upper()
    if len(text) == 1 and unicodedata.category(text) == "Sc":
        return text not in _PARTS_OF_UNITS
    return upper in ISO_CODES or upper in _CODE_OF_SYMBOL or upper in _OTHER_SYMBOLS
