"""The pictures and clips of ``sample_media/``: their public-domain sources, and the changes to them."""

from __future__ import annotations

from dataclasses import dataclass

RGB = tuple[int, int, int]
Box = tuple[float, float, float]  # centre x, centre y (shares of the still), zoom


@dataclass(frozen=True)
class Picture:
    """A picture to make: its source and the changes to it."""

    file: str
    source: str  # a path in the openclipart folder, or "skimage:NAME"
    hue: int | None = None  # rotation of the hue in degrees
    saturation: float = 1.0
    tint: RGB | None = None  # paint the whole shape in this colour
    crop: tuple[float, float, float, float] | None = None  # left, top, right, bottom as shares
    broken: bool = False


@dataclass(frozen=True)
class Scene:
    """A shot of a clip: a picture, and a camera that moves from one box to another."""

    source: str
    start: Box
    end: Box
    seconds: float
    wall: RGB = (236, 228, 214)
    turn: int = 0  # rotation of the picture in degrees, anticlockwise


@dataclass(frozen=True)
class Clip:
    file: str
    scenes: tuple[Scene, ...]
    badge: bool = False  # a red LIVE badge in the corner


CLOTHING = "people/clothing"
FRUIT = "food/fruit"
DRINKS = "food/beverages"
MUSIC = "recreation/music"
SPORTS = "recreation/sports"
TOYS = "recreation/toys"
HOME = "buildings/furniture"
SNEAKERS = f"{SPORTS}/tennis_shoes_jarno_vasam_.png"
ACOUSTIC = f"{MUSIC}/guitar_jarno_vasamaa1.png"
ELECTRIC = f"{MUSIC}/guitar_jarno_vasamaa2.png"
DRUMS = f"{MUSIC}/drums_jarno_vasamaa_.png"
VIOLIN = f"{MUSIC}/violin_colour_ganson.png"
TRUMPET = f"{MUSIC}/trumpet_b_flat_colour_ganso.png"
KETTLE = f"{DRINKS}/a_teapot_01.png"
COFFEE = "skimage:coffee.png"
CAT = "skimage:chelsea.png"

PICTURES = (
    Picture("pictures/sneakers-sky.jpg", SNEAKERS),
    Picture("pictures/sneakers-red.jpg", SNEAKERS, hue=155, saturation=4.0),
    Picture("pictures/sneakers-green.jpg", SNEAKERS, hue=-75, saturation=2.6),
    Picture("pictures/hiking-boot.png", "recreation/holiday/hiking_boot_jarno_vasama_.png"),
    Picture("pictures/flip-flops.jpg", f"{CLOTHING}/thongs_01.png"),
    Picture("pictures/ice-skate.jpg", f"{CLOTHING}/pattino_architetto_franc_01.png"),
    Picture("pictures/fedora-brown.jpg", f"{CLOTHING}/adventurer_hat_nicu_bucu_01.png"),
    Picture("pictures/fedora-red.png", f"{CLOTHING}/hats/red_fedora.png"),
    Picture("pictures/fedora-blue.png", f"{CLOTHING}/hats/blue_fedora.png"),
    Picture("pictures/baseball-cap.jpg", f"{SPORTS}/baseball_cap_ganson.png"),
    Picture("pictures/bobble-hat.webp", f"{CLOTHING}/winter_hat_nathan_eady_01.png"),
    Picture("pictures/tee-black.jpg", f"{CLOTHING}/t-shirt_01.png"),
    Picture("pictures/tee-red.jpg", f"{CLOTHING}/t-shirt_01.png", tint=(200, 32, 38)),
    Picture("pictures/silk-shirt.jpg", f"{CLOTHING}/camicia_in_seta_architet_01.png"),
    Picture("pictures/sunglasses.png", f"{CLOTHING}/sunglasses_01.png"),
    Picture("pictures/swim-shorts.webp", f"{CLOTHING}/wild_summer_shorts_natha_01.png"),
    Picture("pictures/backpack.jpg", "unsorted/zaino_per_montagna.png"),
    Picture("pictures/beach-bag.jpg", "containers/borsa_estiva_architetto__01.png"),
    Picture("pictures/umbrella.png", "tools/umbrella.png"),
    Picture("pictures/espresso-cup.jpg", COFFEE),
    Picture("pictures/espresso-cup-close.jpg", COFFEE, crop=(0.25, 0.0, 0.72, 0.85)),
    Picture("pictures/green-mug.jpg", f"{DRINKS}/zielony_kubek_herbaty_-_01.png"),
    Picture("pictures/electric-kettle.png", KETTLE),
    Picture("pictures/teacup-blue.jpg", f"{DRINKS}/teacup_ganson.png"),
    Picture("pictures/broken-teapot.jpg", f"{DRINKS}/teapot_ganson.png", broken=True),
    Picture("pictures/wooden-utensils.jpg", "food/food_leif_lodahl_01.png"),
    Picture("pictures/fondue-pot.jpg", "recreation/party/fondue_uliphant_01.png"),
    Picture("pictures/grapes.jpg", f"{FRUIT}/grapes_leif_lodahl_02.png"),
    Picture("pictures/fruit-basket.jpg", f"{FRUIT}/fruitcollection_leif_lod_07.png"),
    Picture("pictures/watermelon.jpg", f"{FRUIT}/watermelon_james_kilfige_01.png"),
    Picture("pictures/watermelon-half.jpg", f"{FRUIT}/pasteque_01.png"),
    Picture("pictures/pineapple.png", f"{FRUIT}/pineapple.png"),
    Picture("pictures/bananas.jpg", f"{FRUIT}/bananas_nicu_buculei_01.png"),
    Picture("pictures/lemon.jpg", f"{FRUIT}/lemon_whole_ganson.png"),
    Picture("pictures/guitar-acoustic.jpg", ACOUSTIC),
    Picture("pictures/guitar-acoustic-body.jpg", ACOUSTIC, crop=(0.0, 0.55, 1.0, 1.0)),
    Picture("pictures/guitar-electric.jpg", ELECTRIC),
    Picture("pictures/bass-guitar.jpg", f"{MUSIC}/bass_guitar_a.j._ashton_.png"),
    Picture("pictures/drum-kit.jpg", DRUMS),
    Picture("pictures/gramophone.png", f"{MUSIC}/gramophone.png"),
    Picture("pictures/xylophone.jpg", f"{MUSIC}/xylophone_ganson.png"),
    Picture("pictures/violin.jpg", VIOLIN),
    Picture("pictures/trumpet.webp", TRUMPET),
    Picture("pictures/digital-camera.jpg", "electronics/macchina_fotografica_di_01.png"),
    Picture("pictures/camcorder.jpg", "electronics/camcorder_jaime_sanchez1.png"),
    Picture("pictures/laptop.png", "computer/hardware/laptop.png"),
    Picture("pictures/television.jpg", f"{HOME}/television_peterm_.png"),
    Picture("pictures/joystick-black.jpg", "computer/joystick_black_red_petri_01.png"),
    Picture("pictures/joystick-beige.jpg", "computer/joystick_beige_gray_petr_01.png"),
    Picture("pictures/red-telephone.jpg", "office/telephone/red_telephone_mimooh_01.png"),
    Picture("pictures/folding-chair.jpg", f"{HOME}/sedia_in_legno_architett_01.png"),
    Picture("pictures/wooden-table.jpg", f"{HOME}/tavolo_in_legno_architet_01.png"),
    Picture("pictures/desk-lamp.jpg", "office/desk_lamp_gerald_g._01.png"),
    Picture("pictures/glass-lamp.jpg", "office/liberty_architetto_franc_01.png"),
    Picture("pictures/alarm-clock.jpg", "signs_and_symbols/clocks/alarm_clock_mike_powers_.png"),
    Picture("pictures/parasol-set.jpg", f"{HOME}/sedia_e_ombrelloni_archi_01.png"),
    Picture("pictures/teddy-bear.jpg", f"{TOYS}/teddybear_jarno_vasamaa_.png"),
    Picture("pictures/toy-wagon.webp", f"{TOYS}/wagon_01.png"),
    Picture("pictures/rubber-duck.jpg", f"{TOYS}/rubber_duck1_ganson.png"),
    Picture("pictures/abc-blocks.jpg", f"{TOYS}/abc_blocks_petri_lummema_01.png"),
    Picture("pictures/toy-train.png", f"{TOYS}/kiddy_train_orlando_kara_.png"),
    Picture("pictures/beach-ball.jpg", f"{TOYS}/beach_ball_01.png"),
    Picture("pictures/football.jpg", f"{SPORTS}/soccer_ballon_tanguy_jac_.png"),
    Picture("pictures/tennis-racket.jpg", f"{SPORTS}/tennis_racket_01.png"),
    Picture("pictures/bicycle.jpg", "transportation/vehicles/bicycle_01.png"),
    Picture("pictures/tent.jpg", "unsorted/tenda_da_campeggio_archi_01.png"),
    Picture("pictures/garden-shears.jpg", "tools/hedgeshear_benji_park_01.png"),
    Picture("pictures/leaf-rake.jpg", "tools/leafrake_benji_park_01.png"),
    Picture("pictures/geranium.jpg", "plants/flowers/geranium_ganson.png"),
    Picture("pictures/tulips.webp", "plants/tulips_ganson.png"),
    Picture("pictures/poster-galaxies.jpg", "skimage:hubble_deep_field.jpg"),
    Picture("pictures/poster-rocket.jpg", "skimage:rocket.jpg"),
    Picture("pictures/poster-cat.jpg", CAT),
    Picture("queries/guitar.jpg", f"{MUSIC}/guitar_profile_philippe__01.png"),
    Picture("queries/running-shoe.png", f"{SPORTS}/tennis_shoe_jarno_vasama_.png"),
)

STAGE = (70, 52, 92)
CLIPS = (
    Clip("clips/espresso-cup.mp4", (Scene(COFFEE, (0.5, 0.5, 1.0), (0.44, 0.42, 1.9), 5.0),)),
    Clip(
        "clips/kitchen-haul.mp4",
        (
            Scene(COFFEE, (0.45, 0.5, 1.1), (0.45, 0.45, 1.5), 3.0),
            Scene(KETTLE, (0.42, 0.5, 1.0), (0.55, 0.5, 1.25), 3.0, wall=(214, 228, 236)),
            Scene(f"{FRUIT}/grapes_leif_lodahl_02.png", (0.55, 0.5, 1.4), (0.5, 0.5, 1.0), 3.0, wall=(255, 255, 255)),
        ),
    ),
    Clip(
        "clips/guitar-lesson.mp4",
        (
            Scene(ACOUSTIC, (0.5, 0.5, 1.0), (0.35, 0.5, 1.8), 3.0, turn=-90),
            Scene(ACOUSTIC, (0.35, 0.5, 2.0), (0.7, 0.5, 2.0), 2.5, turn=-90),
            Scene(ELECTRIC, (0.4, 0.5, 1.5), (0.5, 0.5, 1.0), 3.0, wall=(206, 220, 210), turn=-90),
        ),
    ),
    Clip(
        "clips/cat.mp4",
        (
            Scene(CAT, (0.5, 0.5, 1.0), (0.42, 0.38, 1.5), 3.5),
            Scene(CAT, (0.36, 0.36, 2.2), (0.62, 0.42, 2.2), 2.5),
        ),
    ),
    Clip(
        "clips/band-night.mp4",
        (
            Scene(DRUMS, (0.5, 0.5, 1.0), (0.5, 0.45, 1.4), 3.0, wall=STAGE),
            Scene(VIOLIN, (0.4, 0.5, 1.3), (0.58, 0.5, 1.3), 2.5, wall=(52, 74, 96)),
            Scene(TRUMPET, (0.6, 0.5, 1.0), (0.45, 0.5, 1.3), 2.5, wall=STAGE),
        ),
        badge=True,
    ),
    Clip(
        "queries/tea-time.mp4",
        (
            Scene(f"{DRINKS}/coffee.png", (0.5, 0.5, 1.0), (0.5, 0.5, 1.4), 2.5),
            Scene(f"{DRINKS}/mug.png", (0.45, 0.5, 1.3), (0.55, 0.5, 1.0), 2.5, wall=(232, 214, 206)),
        ),
    ),
)

PHOTOGRAPHS = {  # as stated in scikit-image's own documentation of each picture
    COFFEE: ("Coffee cup", "Rachel Michetti", "CC0"),
    CAT: ("Chelsea the cat", "Stefan van der Walt", "CC0"),
    "skimage:hubble_deep_field.jpg": ("Hubble eXtreme Deep Field", "NASA / HubbleSite", "public domain"),
    "skimage:rocket.jpg": ("Launch photograph of a rocket", "SpaceX", "public domain"),
}
