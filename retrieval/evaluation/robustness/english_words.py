"""Small tables of English words in titles of products: synonyms, spellings, plurals and stop words."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


SYNONYMS: Final[tuple[tuple[str, ...], ...]] = (
    ("sneaker", "trainer"),
    ("sneakers", "trainers"),
    ("sweater", "jumper", "pullover"),
    ("sweaters", "jumpers", "pullovers"),
    ("pants", "trousers"),
    ("shorts", "short pants"),
    ("jacket", "coat"),
    ("jackets", "coats"),
    ("t-shirt", "tee"),
    ("t-shirts", "tees"),
    ("hoodie", "hooded sweatshirt"),
    ("tank", "sleeveless shirt"),
    ("cap", "hat"),
    ("handbag", "purse"),
    ("backpack", "rucksack"),
    ("backpacks", "rucksacks"),
    ("bag", "sack"),
    ("suitcase", "luggage"),
    ("sofa", "couch"),
    ("sofas", "couches"),
    ("lamp", "light"),
    ("rug", "carpet"),
    ("cup", "mug"),
    ("cups", "mugs"),
    ("pot", "saucepan"),
    ("kettle", "water boiler"),
    ("tap", "faucet"),
    ("torch", "flashlight"),
    ("mobile", "cell"),
    ("phone", "telephone"),
    ("laptop", "notebook"),
    ("television", "tv"),
    ("headphones", "earphones"),
    ("bicycle", "bike"),
    ("bicycles", "bikes"),
    ("car", "auto"),
    ("stroller", "pushchair"),
    ("diaper", "nappy"),
    ("diapers", "nappies"),
    ("eraser", "rubber"),
    ("cookie", "biscuit"),
    ("cookies", "biscuits"),
    ("toy", "plaything"),
    ("watch", "wristwatch"),
    ("eyeglasses", "spectacles", "glasses"),
    ("sunglasses", "shades"),
    ("swimsuit", "bathing suit"),
    ("violin", "fiddle"),
    ("gym", "fitness"),
    ("workout", "training"),
    ("small", "little"),
    ("big", "large"),
    ("stylish", "fashionable"),
    ("men's", "mens"),
    ("women's", "womens", "ladies"),
    ("kids", "children's"),
    ("wooden", "wood"),
    ("woollen", "wool"),
    ("bright", "vivid"),
    ("old", "vintage"),
    ("running", "jogging"),
    ("picture", "photo"),
)
"""Groups of words of nearly one meaning in a shop; a word becomes the next one of its group, the last one the first."""

SPELLINGS: Final[tuple[tuple[str, str], ...]] = (
    ("colour", "color"),
    ("colours", "colors"),
    ("coloured", "colored"),
    ("colourful", "colorful"),
    ("multicolour", "multicolor"),
    ("multicoloured", "multicolored"),
    ("grey", "gray"),
    ("jewellery", "jewelry"),
    ("aluminium", "aluminum"),
    ("tyre", "tire"),
    ("tyres", "tires"),
    ("pyjamas", "pajamas"),
    ("centre", "center"),
    ("metre", "meter"),
    ("litre", "liter"),
    ("fibre", "fiber"),
    ("theatre", "theater"),
    ("favourite", "favorite"),
    ("flavour", "flavor"),
    ("flavoured", "flavored"),
    ("armour", "armor"),
    ("mould", "mold"),
    ("moulded", "molded"),
    ("plough", "plow"),
    ("woollen", "woolen"),
    ("moustache", "mustache"),
    ("doughnut", "donut"),
    ("cosy", "cozy"),
    ("storey", "story"),
    ("licence", "license"),
    ("programme", "program"),
    ("catalogue", "catalog"),
    ("organiser", "organizer"),
    ("moisturiser", "moisturizer"),
    ("carburettor", "carburetor"),
    ("sulphur", "sulfur"),
)
"""British and American spellings of one word."""

IRREGULAR: Final[tuple[tuple[str, str], ...]] = (
    ("knife", "knives"),
    ("shelf", "shelves"),
    ("scarf", "scarves"),
    ("leaf", "leaves"),
    ("loaf", "loaves"),
    ("foot", "feet"),
    ("tooth", "teeth"),
    ("mouse", "mice"),
    ("child", "children"),
    ("man", "men"),
    ("woman", "women"),
    ("person", "people"),
    ("potato", "potatoes"),
    ("tomato", "tomatoes"),
)
"""Singulars and plurals without a rule."""

UNCOUNTED: Final = _words(
    """
    shorts pants trousers jeans leggings tights pyjamas pajamas glasses sunglasses scissors headphones earphones
    furniture jewellery jewelry clothing luggage equipment series species gym fitness yoga wool cotton leather gold
    silver steel plastic glass dress brass canvas wireless stainless seamless sleeveless cordless mattress compass
    bus gas lens iris tennis chess paris asparagus
    """
)
"""Words whose plural is not used, or whose last s is no plural."""

STOP_WORDS: Final = _words(
    """
    a an the and or of for with in on at to by from is are this that its your our all
    """
)
"""Words that people leave out of a query."""

COMMON: Final = _words(
    """
    red blue green black white yellow orange brown pink purple gold silver light dark shirt shoe shoes boot boots
    sock socks dress skirt jeans glove gloves belt wallet ring necklace bracelet table chair desk bed shelf mirror
    box set pack piece pieces new pair size steel wood leather cotton wool glass plastic metal handle band bottle
    plate spoon fork knife jar basket ball game guitar drum apple banana bananas bread fruit flower flowers tree dog
    cat fish bird horse water kitchen garden outdoor sport sports baby boys girls men women kit tool tools cable
    charger battery screen cover case stand holder tape screw clamp pump filter valve
    """
)
"""Other words that show that a title is English."""

FOREIGN: Final = _words(
    """
    und mit für fuer der die das ein eine einer ohne aus von zum zur auf aus bei im et avec pour les des une sans
    dans sur du de la el los las una con para por sin del y di da il lo gli uno e per senza dei och med för en ett
    av til og voor van het een zonder met do em com sem uma
    """
)
"""Function words of other languages with Latin letters; a title with one of them does not count as English."""
