"""XLA's flags: ours are added once, and what the user says wins."""

from jaxgen.platform import FUSION_FLAG, FUSION_VALUE, OUTPUT_FLAG, OUTPUT_VALUE, with_ours

OURS = f"{FUSION_FLAG}={FUSION_VALUE} {OUTPUT_FLAG}={OUTPUT_VALUE}"


def test_ours_are_added_once():
    assert with_ours("") == with_ours(OURS) == OURS


def test_what_the_user_set_wins():
    user = f"--xla_backend_optimization_level=0 {OUTPUT_FLAG}=other"
    assert with_ours(user) == f"{user} {FUSION_FLAG}={FUSION_VALUE}"
