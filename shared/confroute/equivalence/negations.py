"""The words that deny, in the languages that models are asked in most."""

from __future__ import annotations

from typing import Final

DENIALS: Final = frozenset(
    # As `tokens` writes them: small letters without accents; "isn't" is "not".
    "not never neither nor cannot without nicht kein keine keinen keinem keiner keines niemals weder "
    "pas jamais aucun aucune nunca jamas nao niet geen ikke inte ingen nie nem tidak bukan khong degil "
    "не нельзя ні δεν नहीं ليس ليست لا لم لن לא".split()
)
"""Those of what stands right behind them, or of the sentence."""

NEGATIONS: Final = DENIALS | frozenset(
    "no none false incorrect nein niemand non nej нет нету немає ні οχι nenhum nenhuma ningun "
    "ninguno ninguna nessun nessuno nessuna hayır yok".split()
)
"""Also those that deny as an answer of their own."""
