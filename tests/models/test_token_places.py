"""Parity models of texts: merged tokens, places apart, operations, and where they start."""

from pathlib import Path

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from parity_exp.coding import AdditionEncoder, EmbeddingAdditionEncoder, SideBySideEncoder, TokenGrid
from parity_exp.models import FromBase, TextTransformer, TransformersEncoder
from parity_exp.models.token_places import TokensApart, TokensTogether
from tests.data.texts import write_encoder

LENGTH, OUTPUTS = 32, 3


def network(length: int = LENGTH, **settings: object) -> TextTransformer:
    torch.manual_seed(0)
    return TextTransformer((length,), OUTPUTS, vocabulary=50, width=16, depth=2, **settings).eval()  # type: ignore


def queries(count: int, k: int, seed: int = 1) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    ids = torch.randint(0, 50, (count, k, LENGTH), generator=random).float()
    lengths = torch.randint(3, LENGTH, (count, k, 1), generator=random)
    return ids.masked_fill(torch.arange(LENGTH) >= lengths, -1)


def parity(ids: torch.Tensor) -> torch.Tensor:
    return SideBySideEncoder(ids.shape[1], 1, (LENGTH,)).encode(ids)[:, 0]


@pytest.mark.parametrize("k", [2, 4])
def test_a_place_depends_on_its_own_query_alone(k: int) -> None:
    apart = TokensApart(network(), TokenGrid(k, LENGTH)).eval()
    ids = queries(5, k)
    before = apart(parity(ids)).view(5, k, OUTPUTS)
    ids[:, 0] = queries(5, 1, 2)[:, 0]
    after = apart(parity(ids)).view(5, k, OUTPUTS)
    assert torch.allclose(before[:, 1:], after[:, 1:], atol=1e-6)
    assert not torch.allclose(before[:, 0], after[:, 0], atol=1e-3)


def test_what_is_behind_the_end_of_a_text_changes_nothing() -> None:
    base, ids = network(), queries(4, 1)[:, 0]
    longer = network(LENGTH + 5)
    longer.load_state_dict({**longer.state_dict(), **{n: w for n, w in base.state_dict().items() if n != "positions"}})
    longer.positions.data[:LENGTH] = base.positions.data
    padded = torch.cat([ids, -torch.ones(4, 5)], 1)
    assert torch.allclose(base(ids), longer(padded), atol=1e-5)


def test_left_padding_is_read_like_right_padding() -> None:
    apart = TokensApart(network(), TokenGrid(2, LENGTH)).eval()
    ids = queries(4, 2)
    left = ids.gather(2, (ids >= 0).byte().argsort(dim=2, stable=True))
    assert torch.allclose(apart(parity(ids)), apart(parity(left)), atol=1e-6)


@pytest.mark.parametrize("kind", [TokensApart, TokensTogether])
@pytest.mark.parametrize("k", [2, 3, 4, 8])
def test_operations_are_no_more_than_the_base_models(kind: type, k: int) -> None:
    base = network()

    def operations(module: torch.nn.Module, length: int) -> int:
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            module(torch.zeros(1, length))
        return int(counter.get_total_flops())

    allowed = 1.05 * operations(base, LENGTH) * (LENGTH + k) / (LENGTH + 1)  # a CLS token for each place
    assert operations(kind(network(), TokenGrid(k, LENGTH)), k * LENGTH) <= allowed


def test_parity_models_start_from_the_base_model() -> None:
    base, other = network(), network()
    for weight in other.parameters():
        weight.data.add_(1)
    encoder = SideBySideEncoder(2, 1, (LENGTH,))
    for kind in (TokensApart, TokensTogether):
        places = kind(TextTransformer((LENGTH,), OUTPUTS + 2, vocabulary=50, width=16), TokenGrid(2, LENGTH))
        FromBase()(places, base, encoder, 0, torch.zeros(OUTPUTS))
        assert torch.equal(places.network.head.weight[:OUTPUTS], base.head.weight)
        assert torch.equal(places.network.words.weight, base.words.weight)


def test_ids_are_laid_side_by_side_exactly_up_to_the_last_that_float32_holds() -> None:
    encoder = SideBySideEncoder(2, 2, (4,), torch.ones(2, 2))
    ids = torch.tensor([[[2.0**24 - 1, 5, -1, -1], [7, 8, 2.0**24 - 2, 9]]])
    assert encoder.encode(ids)[0].tolist() == [ids.flatten().tolist()] * 2
    out = torch.empty(8)
    encoder.encode_group(list(ids[0]), 1, out)
    assert torch.equal(out, ids.flatten())
    with pytest.raises(ValueError, match="less than two for each of the k=3 places"):
        SideBySideEncoder(3, 1, (4,))


def test_addition_of_texts_adds_embeddings_of_the_base_model() -> None:
    base, ids = network(), queries(3, 2)
    encoder = EmbeddingAdditionEncoder(2, 1, (LENGTH,), vocabulary=50, width=16)
    encoder.see(base)
    wanted = base.embed(ids[:, 0]) + base.embed(ids[:, 1])
    assert torch.allclose(encoder.encode(ids)[:, 0], wanted)
    assert AdditionEncoder.of_tokens is EmbeddingAdditionEncoder
    embedded = TextTransformer((LENGTH, 16), OUTPUTS, vocabulary=50, width=16).eval()
    embedded.load_state_dict(base.state_dict())
    assert torch.allclose(embedded(base.embed(ids[:, 0])), base(ids[:, 0]), atol=1e-5)
    with pytest.raises(ValueError, match="no embeddings"):
        encoder.see(torch.nn.Linear(2, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_encoder(tmp_path_factory.mktemp("bert"))


def test_an_encoder_of_transformers_gives_what_transformers_gives(folder: Path) -> None:
    from transformers import AutoModel

    made = TransformersEncoder((LENGTH,), 16, str(folder), head=False).eval()
    ids = (queries(4, 1)[:, 0] % 20).clamp(min=-1)
    ids[ids < 0] = -1
    known = ids >= 0
    last = AutoModel.from_pretrained(folder)(ids.long().clamp(min=0), known.long()).last_hidden_state
    wanted = (last * known.unsqueeze(-1)).sum(1) / known.sum(1, keepdim=True)
    assert torch.allclose(made(ids), wanted, atol=1e-5)
    apart = TokensApart(made, TokenGrid(2, LENGTH)).eval()
    assert apart(torch.cat([ids, ids], 1)).shape == (4, 32)


@pytest.mark.parametrize(
    ("change", "settings", "wanted"),
    [
        (None, {"path": None}, "path is not set"),
        (None, {"path": "nowhere"}, "has no config.json"),
        (None, {"head": False}, "gives the encoder's 16 numbers"),
        (None, {"vocabulary": 10_000}, "knows"),
        (None, {"input_shape": (200,)}, "reads 64 tokens at most"),
        (None, {"input_shape": (1, 8, 8)}, "rows of token ids"),
        ("pickle", {}, "only pickles"),
        ("damaged", {}, "cannot be read as an encoder"),
    ],
)
def test_folders_that_cannot_be_used_are_refused_in_a_line(
    folder: Path, tmp_path: Path, change: str | None, settings: dict, wanted: str
) -> None:
    place = tmp_path / "bert"
    place.mkdir()
    for path in folder.iterdir():
        (place / path.name).write_bytes(path.read_bytes())
    weights = place / "model.safetensors"
    if change == "pickle":
        weights.rename(place / "pytorch_model.bin")
    if change == "damaged":
        weights.write_bytes(weights.read_bytes()[:50])
    with pytest.raises(ValueError, match=wanted) as error:
        TransformersEncoder(**{"input_shape": (LENGTH,), "outputs": 2, "path": str(place), **settings})
    assert "\n" not in str(error.value)
