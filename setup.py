"""Installs `configs/`, which stays at the top of the repository, as `jaxgen.configs`."""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["jaxgen*"]), "jaxgen.configs"],
    package_dir={"jaxgen.configs": "configs"},
)
