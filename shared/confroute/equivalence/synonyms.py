"""Words of one meaning that short answers swap most: of attribution, place, degree and size, and callings."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

# As `tokens` writes them, without an s at the end. None of two that can be different facts about the same thing: a
# song is recorded and released, a house designed and built, in different years.
GROUPS: Final = (
    "written wrote penned authored composed",
    "sung sang performed recorded",
    "painted created",
    "invented created devised developed",
    "founded established created",
    "built constructed erected completed",
    "building structure",
    "discovered found",
    "located situated found",
    "lie sit stand",
    "called named known termed",
    "classified considered regarded deemed categorized categorised",
    "approximately roughly around approx circa",
    "nearly almost",
    "officially formally",
    "completely totally entirely fully wholly",
    "mainly mostly primarily chiefly largely",
    "usually typically generally commonly normally",
    "very extremely highly",
    "quickly rapidly",
    "currently presently now",
    "current present",
    "initially originally",
    "famou renowned celebrated noted",
    "big large huge",
    "bigger larger greater",
    "biggest largest greatest",
    "small little tiny",
    "begin start commence",
    "began started commenced",
    "begun started commenced",
    "end finish conclude",
    "ended finished concluded",
    "convert transform",
    "make produce manufacture",
    "produce secrete",
    "release emit",
    "stand mean",
    "eat consume",
    "drink consume",
    "recommend suggest",
    "each every",
    "further farther",
    "get receive",
    "go goe travel",
    "flight journey trip",
    "plan subscription",
    "store shop",
    "man human person",
    "world earth globe",
    "contract agreement lease",
    "usa america us",
    "holland netherland",
    "burma myanmar",
    "uk britain",
    "drug medicine medication",
    "illness disease",
    "problem issue",
    "ocean sea",
    "air atmosphere",
    "invoice bill",
    "buy purchase",
    "bought purchased",
    "movie film",
    "author writer",
    "colour color",
    "centre center",
    # German
    "geschrieben verfasst",
    "schrieb verfasste",
    "gemalt geschaffen",
    "erfunden entwickelt",
    "liegt befindet",
    "etwa ungefahr rund circa ca",
    # French
    "ecrit redige compose",
    "ecrite redigee composee",
    "peint cree realise",
    "peinte creee realisee",
    "situe trouve localise",
    "situee trouvee localisee",
    "environ approximativement",
    # Spanish and Portuguese
    "escrito redactado redigido",
    "escrita redactada redigida",
    "pintado creado criado",
    "pintada creada criada",
    "situado ubicado localizado",
    "situada ubicada localizada",
    "fica localiza situa",
    "aproximadamente alrededor cerca",
    # Italian
    "scritto composto",
    "scritta composta",
    "dipinto creato realizzato",
    "dipinta creata realizzata",
    "situato ubicato localizzato",
    "situata ubicata localizzata",
    "circa approssimativamente",
)

UNITS: Final[Mapping[str, str]] = {
    "km": "kilometer", "kilometre": "kilometer", "metre": "meter", "cm": "centimeter", "centimetre": "centimeter",
    "mm": "millimeter", "millimetre": "millimeter", "kg": "kilogram", "mg": "milligram", "ft": "feet", "foot": "feet",
    "hr": "hour", "min": "minute", "sec": "second", "yr": "year", "inche": "inch",
}  # fmt: skip
"""Units, as `GROUPS` are written, with what they are short for."""

MONTHS: Final[Mapping[str, str]] = {
    "jan": "january", "feb": "february", "mar": "march", "apr": "april", "jun": "june", "jul": "july", "aug": "august",
    "sep": "september", "sept": "september", "oct": "october", "nov": "november", "dec": "december",
}  # fmt: skip

ABBREVIATIONS: Final[Mapping[str, str]] = {**MONTHS, **UNITS, "hrs": "hour", "yrs": "year", "cannot": "not"}
"""With those that are too short to lose an s, and one that is written as "can't" is: "not"."""

CALLINGS: Final = frozenset(
    "author writer playwright dramatist poet novelist scientist physicist chemist biologist bacteriologist "
    "microbiologist physician mathematician astronomer philosopher inventor engineer artist painter sculptor "
    "architect singer songwriter musician composer star actor explorer".split()
)
"""What stands before a name and leaves the person the same: no offices, which tell two of one name apart."""

KINDS: Final = frozenset(
    "animal article author automaker band book building city code company compound continent corporation country "
    "device document element email essay excerpt film firm game gas island item language letter liquid man message "
    "metal mineral movie name nation novel number ocean organ painting paper paragraph passage person piece place "
    "planet plant play poem product program project report research river service song specie speech state story "
    "structure study substance team text town tower used vehicle woman word work".split()
)
"""What an answer may say of the question's subject instead of naming it: "the capital city" of Japan's, "the currency
used" there. As `GROUPS` are written."""


def are_synonyms(a: str, b: str) -> bool:
    return a in _GROUPS_OF and b in _GROUPS_OF and not _GROUPS_OF[a].isdisjoint(_GROUPS_OF[b])


def _groups_of() -> Mapping[str, set[int]]:
    groups: defaultdict[str, set[int]] = defaultdict(set)
    for i, group in enumerate(GROUPS):
        for word in group.split():
            groups[word].add(i)
    return dict(groups)


_GROUPS_OF: Final = _groups_of()
