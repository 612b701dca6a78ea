"""An explorer of two tiny runs, whose VAE has a direction of its own and one of another model."""

import numpy as np
import pytest
from explored import ADDRESS, VECTOR


@pytest.fixture(scope="session")
def runs(zoo, data_root, tmp_path_factory):
    """The VAE, then the flow."""
    import jaxgen
    from jaxgen.views.directions import Direction, weights_digest

    folder = tmp_path_factory.mktemp("explored")
    found = [jaxgen.load(zoo.copy(name, folder / name).workdir) for name in ("vae", "flow")]
    about = {"attribute": "tilt", "method": "mean", "names": ["tilt"], "nominal": []}
    about |= {"step": found[0].step}
    place = found[0].directory.path / "directions"
    Direction({**about, "model": weights_digest(found[0])}, VECTOR).save(place / "tilt.npz")
    Direction({**about, "model": "0" * 64}, VECTOR).save(place / "foreign.npz")
    return found


@pytest.fixture(scope="session")
def explorer(runs):
    from jaxgen.explorer.server import Explorer
    from jaxgen.explorer.subject import Subject
    from jaxgen.explorer.worker import Worker

    worker = Worker()
    subjects = [Subject(run) for run in runs]
    for subject in subjects:
        worker.job(subject.warm_up).result()
    yield Explorer(subjects, worker)
    worker.close()


@pytest.fixture
def client(explorer):
    from starlette.testclient import TestClient

    app = explorer.app("127.0.0.1")
    return TestClient(app, ADDRESS, headers={"Origin": ADDRESS}, raise_server_exceptions=False)


@pytest.fixture
def drawn(client):
    """drawn(state, final=True): what the server draws of it."""
    numbers = iter(range(10**6))
    lane = f"lane{np.random.randint(10**9)}"

    def draw(state, final=True):
        body = {"lane": lane, "number": next(numbers), "final": final, "state": state}
        answer = client.post("/api/draw", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()["pictures"]

    return draw
