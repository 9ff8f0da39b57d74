"""Queries in seven languages, made from the titles and categories of a shop by a table of words.

The table has the shop's nouns, the words before them ("yoga", "long-sleeve") and its colours, written for this project.
A title becomes "name, translated words": product names ("Chaz Kangeroo") stay, as shops leave them, and every word of
the table is translated. Words outside of it stay too if they belong to a name, and are left out of queries without a
name. Colours come after the noun in German titles, and agree with no gender: titles of shops are not sentences.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LANGUAGES = ("en", "de", "fr", "es", "zh", "ja", "ar")

_NOUNS = """
hoodie | Kapuzenpullover | sweat à capuche | sudadera con capucha | 连帽衫 | パーカー | سترة بقلنسوة
sweatshirt | Sweatshirt | sweat-shirt | sudadera | 运动衫 | トレーナー | كنزة رياضية
pullover | Pullover | pull | jersey | 套头衫 | プルオーバー | كنزة
jacket | Jacke | veste | chaqueta | 夹克 | ジャケット | سترة
tee | T-Shirt | tee-shirt | camiseta | T恤 | Tシャツ | تي شيرت
tank | Tanktop | débardeur | camiseta sin mangas | 背心 | タンクトップ | قميص بلا أكمام
pant | Hose | pantalon | pantalón | 长裤 | ズボン | بنطلون
tight | Leggings | legging | mallas | 紧身裤 | タイツ | بنطلون ضيق
short | Shorts | short | pantalón corto | 短裤 | ショートパンツ | شورت
duffle bag | Reisetasche | sac de voyage | bolsa de viaje | 旅行包 | ボストンバッグ | حقيبة سفر
duffle | Reisetasche | sac de voyage | bolsa de viaje | 旅行包 | ボストンバッグ | حقيبة سفر
shoulder pack | Umhängetasche | sac à bandoulière | bandolera | 单肩包 | ショルダーバッグ | حقيبة كتف
messenger bag | Kuriertasche | sac messager | bolso mensajero | 邮差包 | メッセンジャーバッグ | حقيبة ساعي
messenger | Kuriertasche | sac messager | bolso mensajero | 邮差包 | メッセンジャーバッグ | حقيبة ساعي
backpack | Rucksack | sac à dos | mochila | 背包 | リュックサック | حقيبة ظهر
tote | Tragetasche | sac cabas | bolso | 手提袋 | トートバッグ | حقيبة يد
bag | Tasche | sac | bolsa | 包 | バッグ | حقيبة
water bottle | Trinkflasche | gourde | botella de agua | 水瓶 | 水筒 | زجاجة ماء
jump rope | Springseil | corde à sauter | cuerda para saltar | 跳绳 | 縄跳び | حبل قفز
pushup grips | Liegestützgriff | poignée de pompes | agarre para flexiones | 俯卧撑架 | プッシュアップバー | مقبض ضغط
strength band kit | Fitnessbänder | bandes élastiques | bandas elásticas | 弹力带 | トレーニングチューブ | أربطة مقاومة
band | Fitnessband | bande élastique | banda elástica | 弹力带 | トレーニングチューブ | رباط مقاومة
yoga brick | Yogablock | brique de yoga | bloque de yoga | 瑜伽砖 | ヨガブロック | مكعب يوغا
foam roller | Faszienrolle | rouleau de massage | rodillo de espuma | 泡沫轴 | フォームローラー | أسطوانة رغوية
yoga strap | Yogagurt | sangle de yoga | correa de yoga | 瑜伽带 | ヨガベルト | حزام يوغا
ball | Gymnastikball | ballon de gymnastique | pelota de gimnasia | 健身球 | バランスボール | كرة رياضية
watch | Armbanduhr | montre | reloj | 手表 | 腕時計 | ساعة يد
"""

# Behind the noun in French, Spanish and Arabic, before it in the other languages.
_WORDS = """
running | Lauf | de course | para correr | 跑步 | ランニング | للجري
jogging | Jogging | de jogging | para correr | 慢跑 | ジョギング | للهرولة
workout | Trainings | d'entraînement | de entrenamiento | 训练 | トレーニング | للتمرين
training | Trainings | d'entraînement | de entrenamiento | 训练 | トレーニング | للتمرين
gym | Gym | de gym | de gimnasio | 健身房 | ジム | للنادي الرياضي
yoga | Yoga | de yoga | de yoga | 瑜伽 | ヨガ | لليوغا
fitness | Fitness | de fitness | de fitness | 健身 | フィットネス | للياقة
sport | Sport | de sport | deportivo | 运动 | スポーツ | رياضي
sports | Sport | de sport | deportivo | 运动 | スポーツ | رياضي
track | Trainings | de sport | deportivo | 运动 | スポーツ | رياضي
weightlifting | Gewichtheber | d'haltérophilie | de halterofilia | 举重 | ウエイトリフティング | لرفع الأثقال
endurance | Ausdauer | d'endurance | de resistencia | 耐力 | 耐久 | للتحمل
long-sleeve | Langarm | à manches longues | de manga larga | 长袖 | 長袖 | بأكمام طويلة
crew-neck | Rundhals | à col rond | de cuello redondo | 圆领 | クルーネック | بياقة دائرية
crewneck | Rundhals | à col rond | de cuello redondo | 圆领 | クルーネック | بياقة دائرية
v-neck | V-Ausschnitt | à col en V | de cuello en V | V领 | Vネック | بياقة على شكل V
insulated | Thermo | isolant | térmico | 保暖 | 防寒 | معزول
lightweight | leicht | léger | ligero | 轻便 | 軽量 | خفيف
all-weather | Allwetter | toutes saisons | para todo tiempo | 全天候 | 全天候 | لكل الأجواء
wind | Wind | coupe-vent | cortavientos | 防风 | 防風 | مضاد للرياح
full-zip | Zip | zippé | con cremallera | 全拉链 | フルジップ | بسحاب كامل
fleece-lined | gefüttert | doublé polaire | con forro polar | 加绒 | 裏起毛 | مبطن
warm-up | Aufwärm | d'échauffement | de calentamiento | 热身 | ウォームアップ | للإحماء
warmup | Aufwärm | d'échauffement | de calentamiento | 热身 | ウォームアップ | للإحماء
shoulder | Schulter | d'épaule | de hombro | 单肩 | ショルダー | للكتف
analog | Analog | analogique | analógico | 指针式 | アナログ | تناظرية
digital | Digital | numérique | digital | 数字 | デジタル | رقمية
"""

_COLOURS = """
black | schwarz | noir | negro | 黑色 | 黒 | أسود
blue | blau | bleu | azul | 蓝色 | 青 | أزرق
red | rot | rouge | rojo | 红色 | 赤 | أحمر
green | grün | vert | verde | 绿色 | 緑 | أخضر
gray | grau | gris | gris | 灰色 | グレー | رمادي
purple | lila | violet | morado | 紫色 | 紫 | بنفسجي
orange | orange | orange | naranja | 橙色 | オレンジ | برتقالي
yellow | gelb | jaune | amarillo | 黄色 | 黄色 | أصفر
white | weiß | blanc | blanco | 白色 | 白 | أبيض
brown | braun | marron | marrón | 棕色 | 茶色 | بني
lavender | lavendel | lavande | lavanda | 淡紫色 | ラベンダー | خزامي
"""

# The last part of the category's path -> nouns of the table.
_CATEGORIES = {
    "Hoodies & Sweatshirts": ("hoodie", "sweatshirt"),
    "Jackets": ("jacket",),
    "Tees": ("tee",),
    "Tanks": ("tank",),
    "Pants": ("pant",),
    "Shorts": ("short",),
    "Bags": ("bag", "backpack"),
    "Watches": ("watch",),
    "Fitness Equipment": ("jump rope", "ball", "band"),
}


def _table(text: str) -> dict[str, tuple[str, ...]]:
    rows = [tuple(cell.strip() for cell in line.split("|")) for line in text.strip().splitlines()]
    return {row[0]: row for row in rows}


NOUNS, WORDS, COLOURS = _table(_NOUNS), _table(_WORDS), _table(_COLOURS)


@dataclass(frozen=True)
class TranslatedQuery:
    """One query in all languages."""

    kind: str  # category, colour category, title without its name, title
    texts: tuple[str, ...]  # in the order of LANGUAGES
    category: str  # the right one
    parent: str  # the product that the query comes from, never a result; empty for categories


def make_queries(
    titles: Sequence[str], parents: Sequence[str], categories: Sequence[str], colours: Sequence[str]
) -> list[TranslatedQuery]:
    """Make the queries of a catalogue: its categories, colours with categories, and titles with and without names.

    Args:
        titles, parents, categories, colours: one of each for every item, in English; colours may be empty.
    """
    queries: dict[tuple[str, str, str], TranslatedQuery] = {}

    def add(kind: str, texts: tuple[str, ...], category: str, parent: str = "") -> None:
        queries.setdefault((kind, texts[0], category), TranslatedQuery(kind, texts, category, parent))

    for colour, category in sorted(set(zip(colours, categories, strict=True))):
        for noun in _CATEGORIES.get(category.split("/")[-1], ()):
            add("category", NOUNS[noun], category)
        nouns = _CATEGORIES.get(category.split("/")[-1], ())
        if colour in COLOURS and nouns:
            add("colour category", _phrases([], nouns[0], colour), category)
    seen = set()
    for title, parent, category, colour in zip(titles, parents, categories, colours, strict=True):
        parts = _parts(title, colour)
        if parent in seen or parts is None:
            continue
        seen.add(parent)
        name, words, noun = parts
        if words:
            add("title without name", _phrases(words, noun, ""), category, parent)
        phrases = _phrases(words, noun, colour if colour in COLOURS else "")
        add("title", tuple(f"{name} {phrase}".strip() for phrase in phrases), category, parent)
    return list(queries.values())


def _parts(title: str, colour: str) -> tuple[str, list[str], str] | None:
    """Split a title into its name, words of the table, and a noun; None without a noun of the table."""
    text = re.sub(r"[()™®]", " ", title)
    text = re.sub(rf"\s+{re.escape(colour)}\s*$", "", text, flags=re.IGNORECASE) if colour else text
    lower = f" {' '.join(text.lower().split())} "
    noun = next((noun for noun in sorted(NOUNS, key=len, reverse=True) if f" {noun} " in lower), None)
    if noun is None:
        return None
    rest = " ".join(text.split())
    rest = re.sub(rf"(?<!\S){re.escape(noun)}(?!\S)", " ", rest, flags=re.IGNORECASE)
    words = [word for word in rest.lower().split() if word in WORDS]
    name = " ".join(word for word in rest.split() if word.lower() not in WORDS)
    return name, words, noun


def _phrases(words: Sequence[str], noun: str, colour: str) -> tuple[str, ...]:
    """Write words, noun and colour in each language."""
    phrases = []
    for place, language in enumerate(LANGUAGES):
        before = [WORDS[word][place] for word in words]
        thing, shade = NOUNS[noun][place], COLOURS[colour][place] if colour else ""
        if language == "en":
            phrase = " ".join([shade, *before, thing])
        elif language == "de":
            phrase = "-".join([*before, thing]) + f" {shade}"
        elif language in ("fr", "es", "ar"):
            phrase = " ".join([thing, *before, shade])
        else:
            join = "の" if language == "ja" and shade and not shade.endswith("色") else ""
            phrase = shade + join + "".join(before) + thing
        phrases.append(" ".join(phrase.split()))
    return tuple(phrases)
