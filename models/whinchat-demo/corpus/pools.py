# The words of the corpus, by kind. Held-out words of `WORDS` appear nowhere in training, so the
# tokenizer has to cut them in pieces and the model to spell what it never saw.
from .pool import Pool

CATEGORIES = {
    "fruits": "apple pear plum cherry grape peach lemon orange banana mango",
    "vegetables": "carrot potato onion pea bean cabbage tomato pepper spinach leek",
    "animals": "cat dog horse cow sheep goat pig rabbit fox bear",
    "birds": "robin owl eagle swan duck crow finch stork dove whinchat",
    "colours": "red blue green yellow purple brown black white pink grey",
    "trees": "oak pine birch maple willow elm beech cedar fir ash",
    "tools": "hammer saw drill wrench file axe chisel rake spade pliers",
    "instruments": "piano violin flute drum guitar harp trumpet cello oboe horn",
    "sports": "tennis football swimming running rowing skiing cycling boxing golf hockey",
    "drinks": "water milk tea coffee juice cocoa lemonade cider soup broth",
    "clothes": "shirt coat hat scarf sock shoe glove belt dress jacket",
    "rooms": "kitchen bedroom hall cellar attic bathroom study pantry porch garage",
    "planets": "Mercury Venus Earth Mars Jupiter Saturn Uranus Neptune",
    "days": "Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
    "months": "January February March April May June July August September October November December",
    "seasons": "spring summer autumn winter",
    "metals": "iron copper gold silver tin lead zinc nickel",
    "shapes": "circle square triangle oval star cube cone sphere",
}
CATEGORIES = {kind: words.split() for kind, words in CATEGORIES.items()}

# Words for the tasks about words and letters.
WORDS = Pool(
    """garden window river mountain table bottle candle bridge castle forest island letter market mirror paper pencil pocket
    rocket school shadow silver spider spring stone summer sugar ticket tiger train tunnel valley village winter
    yellow basket blanket button camera carpet circle copper cotton desert dinner dragon engine feather finger flower
    ginger hammer helmet honey kitten ladder lemon meadow monkey needle ocean orange parrot pepper pillow planet
    rabbit ribbon sandal singer sister stable statue street string sunset temple thunder tomato towel travel turtle
    violin wagon willow wonder anchor animal answer apple arrow autumn bread brick brush bucket cabin cake canal canoe
    cave chair chalk cheese cherry clock cloud clover coast coin coral couch cradle crown daisy dance diary dream drum
    eagle earth elbow field flame flute fork frame frost giant glass globe glove grape grass guitar hill hotel house
    ink jacket jelly jewel juice kite knee knife lake lamp leaf light lime lion lock map maple match melon metal mint
    mist moon moss mouse music nest night north novel nurse oak olive onion owl oven paint panda park path peach pear
    piano pilot pine plate plum pond pony prize rain ring road robot roof rope rose salt sand scarf seed shell ship
    shirt shoe shore silk sky sleep smile smoke snail snow soap song soup spoon stamp star storm story sun swan sword
    tea tent toast tower toy tree trumpet vase voice wave whale wheel wind wing wolf wood wool world yard""".split(),
    """velvet walnut quilt squid vest saddle thorn wheat curtain foam camel broom jungle puzzle pearl whistle sailor palace
    truck jar otter kettle igloo cactus comet zebra raven pumpkin tulip wizard lantern harbor fossil marble salmon""".split(),
)

CITIES = Pool.split(
    """Oslo Paris Rome Madrid Berlin Vienna Prague Lisbon Dublin London Athens Cairo Tokyo Lima Quito Boston Chicago Denver
    Seattle Austin Dallas Miami Toronto Montreal Sydney Perth Delhi Mumbai Seoul Osaka Kyoto Hanoi Manila Jakarta Nairobi Lagos
    Accra Tunis Rabat Dakar Bogota Havana Bern Zurich Geneva Basel Milan Turin Naples Venice Porto Seville Malaga Bilbao Lyon
    Nice Nantes Lille Ghent Bruges Antwerp Bonn Essen Bremen Hamburg Munich Dresden Leipzig Krakow Gdansk Riga Vilnius Tallinn
    Helsinki Turku Bergen Malmo Aarhus Reykjavik Glasgow Leeds York Bath Oxford Cork Galway""".split(), every=5)

COLOURS = Pool("red blue green yellow purple brown black white pink grey orange golden".split(), "silver turquoise crimson violet".split())
FOODS = Pool("apples bread cheese rice soup pasta cake plums honey nuts berries pizza eggs fish beans salad".split(), "noodles pancakes olives dates".split())
PETS = Pool("cat dog rabbit horse parrot hamster pony goat turtle goldfish".split(), "ferret canary lizard".split())
JOBS = Pool("teacher baker doctor farmer pilot nurse painter singer writer gardener driver cook miner".split(), "tailor plumber dentist weaver".split())
HOBBIES = Pool("chess tennis painting reading swimming cooking dancing fishing hiking knitting rowing singing".split(), "juggling archery pottery sailing".split())
ITEMS = Pool("book lamp chair cup shirt bag clock pen table box hat coat ball kite drum map bell ring vase rug".split(), "stool mug umbrella violin basket".split())
GOODS = Pool("apples pears coins books stones eggs cards corks shells pencils stamps keys nuts flowers plates".split(), "tickets feathers ribbons beads".split())

NAMES = Pool.split(
    """Anna Ben Clara David Emma Felix Grace Henry Iris Jonas Kira Leo Mira Noah Olga Paul Quinn Rosa Simon Tara Ugo Vera Walter Xenia Yusuf Zoe
    Adam Bella Carlos Dina Erik Fatima George Hana Ivan Julia Karl Lena Marco Nina Oscar Petra Rafael Sara Tom Ursula Viktor Wanda Yara Zane
    Alma Boris Celia Dario Elena Frida Gustav Helga Ines Jakob Katya Lukas Marta Nils Otto Pia Rita Stefan Tessa Uma Vito Willa Yuki Zora
    Amir Bianca Cyrus Delia Enzo Flora Gina Hugo Ida Joel Klara Luis Mona Nadia Omar Polly Rhea Sven Theo Vince Wilma Abel Brita Chen Dora""".split(), every=5)
