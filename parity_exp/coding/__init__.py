"""Erasure codes for inference: encoders, decoders and generator matrices, as plain PyTorch modules.

Nothing here reads files, knows Hydra or Lightning, or keeps state between calls. Shapes follow one convention:
``B`` groups, ``k`` queries and ``r`` parity queries a group; queries ``(B, k, *query)``, parity queries
``(B, r, *parity_query)``, predictions ``(B, k, *out)``, parity outputs ``(B, r, *out)``. Non-systematic codes have n
coded queries ``(B, n, *query)`` and answers ``(B, n, *out)`` instead.
"""

from parity_exp.coding.addition import AdditionEncoder
from parity_exp.coding.b_spline import BSplineCode, interpolating_matrix, least_squares_matrix
from parity_exp.coding.barycentric import BarycentricCode, floater_hormann_matrix
from parity_exp.coding.berrut import BerrutCode, berrut_matrix
from parity_exp.coding.best_decoder import BestDecoder
from parity_exp.coding.code import Code
from parity_exp.coding.concatenation import ConcatenationEncoder
from parity_exp.coding.corrected_decoder import CorrectedDecoder
from parity_exp.coding.decoder import Decoder
from parity_exp.coding.embedding_addition import EmbeddingAdditionEncoder
from parity_exp.coding.encoder import Encoder
from parity_exp.coding.error_location import locate_errors
from parity_exp.coding.fisher_averaging import FisherAveraging
from parity_exp.coding.generator import Cauchy, Chebyshev, Generator, Vandermonde, worst_condition_number
from parity_exp.coding.grid import Grid
from parity_exp.coding.learned_encoders import ConvolutionalEncoder, MLPEncoder
from parity_exp.coding.losses import LossPatterns, all_loss_patterns, joint_loss_patterns, loss_patterns
from parity_exp.coding.mixture_decoder import MixtureDecoder
from parity_exp.coding.mlp_decoder import MLPDecoder
from parity_exp.coding.non_systematic import NonSystematicCode
from parity_exp.coding.places import PlacesDecoder
from parity_exp.coding.position_codes import Modulation, NoPositionCode, PositionCode, RandomSigns
from parity_exp.coding.residual_decoder import ResidualDecoder
from parity_exp.coding.same_query import SameQueryEncoder
from parity_exp.coding.side_by_side import SideBySideEncoder
from parity_exp.coding.spline import SplineCode, smoothing_spline_matrix
from parity_exp.coding.subtraction import SubtractionDecoder
from parity_exp.coding.token_grid import TokenGrid

__all__ = [
    "AdditionEncoder",
    "BSplineCode",
    "BarycentricCode",
    "BerrutCode",
    "BestDecoder",
    "Cauchy",
    "Chebyshev",
    "Code",
    "ConcatenationEncoder",
    "ConvolutionalEncoder",
    "CorrectedDecoder",
    "Decoder",
    "EmbeddingAdditionEncoder",
    "Encoder",
    "FisherAveraging",
    "Generator",
    "Grid",
    "LossPatterns",
    "MLPDecoder",
    "MLPEncoder",
    "MixtureDecoder",
    "Modulation",
    "NoPositionCode",
    "NonSystematicCode",
    "PlacesDecoder",
    "PositionCode",
    "RandomSigns",
    "ResidualDecoder",
    "SameQueryEncoder",
    "SideBySideEncoder",
    "SplineCode",
    "SubtractionDecoder",
    "TokenGrid",
    "Vandermonde",
    "all_loss_patterns",
    "berrut_matrix",
    "floater_hormann_matrix",
    "interpolating_matrix",
    "joint_loss_patterns",
    "least_squares_matrix",
    "locate_errors",
    "loss_patterns",
    "smoothing_spline_matrix",
    "worst_condition_number",
]
