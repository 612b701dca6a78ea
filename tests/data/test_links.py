"""Links in a folder of images: followed, as people have them, and said where they leave it."""

import jaxgen.data


def test_links_out_of_a_folder_are_said(tmp_path, write_images):
    write_images(tmp_path / "own"), write_images(tmp_path / "private", count=3)
    assert "links lead" not in jaxgen.data.load(str(tmp_path / "own")).report()
    (tmp_path / "own" / "again.png").symlink_to(tmp_path / "own" / "000.png")
    assert "links lead" not in jaxgen.data.load(str(tmp_path / "own")).report()
    (tmp_path / "own" / "b.png").symlink_to(tmp_path / "private" / "001.png")
    report = jaxgen.data.load(str(tmp_path / "own")).report()
    where = f"outside of {tmp_path / 'own'}, e.g. b.png to {tmp_path / 'private' / '001.png'}"
    assert f"links lead to 1 image {where}" in report
    (tmp_path / "two").mkdir()
    for name in ("own", "private"):
        (tmp_path / "two" / name).symlink_to(tmp_path / name)
    assert "links lead to 25 images outside" in jaxgen.data.load(str(tmp_path / "two")).report()
