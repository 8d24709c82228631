"""Parity models that keep the places of a parity query apart: one network for all places, and a prediction for each."""

from parity_exp.models.places.apart import PlacesApart
from parity_exp.models.places.choice import CannotKeepPlacesApartError, NetworkFactory, places_apart
from parity_exp.models.places.folded import Folded
from parity_exp.models.places.patches import PatchesByPlace
from parity_exp.models.places.pooled import PooledByPlace

__all__ = [
    "CannotKeepPlacesApartError",
    "Folded",
    "NetworkFactory",
    "PatchesByPlace",
    "PlacesApart",
    "PooledByPlace",
    "places_apart",
]
