"""One conversation by chance: which check, which server, and whether its words are changed."""

import random
from dataclasses import replace

from tests.campaigns.talks.grpc import bad_grpc, grpc
from tests.campaigns.talks.http import bad_body, bad_http, http
from tests.campaigns.talks.logins import BAD_LOGINS, LOGINS
from tests.campaigns.talks.stores import HEALTHY, UNHEALTHY
from tests.campaigns.talks.talk import Talk, changed, cut, dripping, slow

GOOD = (*HEALTHY, *LOGINS, grpc, grpc, http, http, http, http)
BAD = (*UNHEALTHY, *BAD_LOGINS, *[bad_grpc] * 3, *[bad_http] * 5, *[bad_body] * 4)


def make_talk(chance: random.Random) -> Talk:
    """Depends on ``chance`` alone."""
    kind = chance.random()
    if kind < 0.3:
        talk = chance.choice(BAD)(chance)
        if chance.random() < 0.2:
            talk = replace(talk, words=(*talk.words, "--retries=2", "--interval=10ms"))
        return talk
    talk = chance.choice(GOOD)(chance)
    if kind < 0.7:
        return changed(chance, talk)
    if kind < 0.8 and talk.needed:
        return cut(chance, talk)
    if kind < 0.82 and talk.needed > 8:
        return dripping(talk)
    return slow(chance, talk) if kind < 0.88 else talk
