"""Published traces, read from small files in their own formats."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from parity_exp import simulate
from parity_exp.checks import SettingError
from parity_exp.errors import UserError
from parity_exp.load import AzureFunctions, AzureLlm, BurstGpt, Load, Mooncake
from parity_exp.policies import NoRedundancy

CONF = Path(__file__).parents[2] / "conf" / "load"

LLM_2023 = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:15:46.6805900,374,44
2023-11-16 18:15:50.9951690,396,109
2023-11-16 18:15:51.2225670,879,55
2023-11-16 18:16:01.6805901,91,16
"""
LLM_2024 = """\
TIMESTAMP,ContextTokens,GeneratedTokens
2024-05-10 00:00:00.009930+00:00,2162,5
2024-05-10 00:00:00.017335+00:00,2399,6
2024-05-10 00:00:01+00:00,76,15
"""
LLM_2025 = """\
TIMESTAMP,NumImages,ContextTokens,GeneratedTokens
2024-10-15 23:59:59.5000000,2,374,44
2024-10-16 00:00:00.2500000,0,396,109
"""
FUNCTIONS = """\
app,func,end_timestamp,duration
7b2c,e3cc,0.0800,0.078
7b2c,e3cc,1.0,0.5
41ae,51a8,0.9,0.85
"""
BURST = """\
Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type
5,,1.5,ChatGPT,472,18,490,Conversation log
45,s1,2.5,GPT-4,1087,230,1317,API log
118,s1,0.5,ChatGPT,417,276,693,API log
"""
MOONCAKE = "\n".join(
    json.dumps({"timestamp": time_ms, "input_length": inputs, "output_length": outputs, "hash_ids": [0, 1]})
    for time_ms, inputs, outputs in ((0, 6758, 500), (3052, 7322, 490), (6104, 7237, 794))
)


def written(folder: Path, text: str) -> Path:
    path = folder / "trace.txt"
    path.write_text(text)
    return path


def arrivals(load: Load, service_s: float = 0.02, instances: int = 4) -> list[float]:
    times_s: list[float] = load.arrivals(load.rate(service_s, instances), np.random.default_rng(0)).tolist()
    return times_s


class TestFormats:
    def test_azure_llm_2023_has_seven_digits(self, tmp_path: Path) -> None:
        load = AzureLlm(written(tmp_path, LLM_2023))
        assert arrivals(load) == pytest.approx([0, 4.314579, 4.541977, 15.0000001], abs=1e-9)
        assert load.service_times() is None

    def test_azure_llm_2024_has_a_time_zone_and_whole_seconds(self, tmp_path: Path) -> None:
        assert arrivals(AzureLlm(written(tmp_path, LLM_2024))) == pytest.approx([0, 0.007405, 0.99007])

    def test_azure_llm_2025_has_images(self, tmp_path: Path) -> None:
        load = AzureLlm(written(tmp_path, LLM_2025), base_ms=5, input_ms=0.1, output_ms=20, image_ms=300)
        assert arrivals(load) == pytest.approx([0, 0.75])
        times_s = load.service_times()
        assert times_s is not None
        assert times_s == pytest.approx([0.005 + 0.0374 + 0.88 + 0.6, 0.005 + 0.0396 + 2.18])

    def test_azure_functions_arrive_at_their_end_less_their_duration(self, tmp_path: Path) -> None:
        load = AzureFunctions(written(tmp_path, FUNCTIONS), duration_scale=2)
        assert arrivals(load) == pytest.approx([0, 0.048, 0.498])  # in the order of arrivals
        times_s = load.service_times()
        assert times_s is not None and times_s == pytest.approx([0.156, 1.7, 1.0])
        assert AzureFunctions(written(tmp_path, FUNCTIONS), durations=False).service_times() is None

    def test_burst_gpt(self, tmp_path: Path) -> None:
        path = written(tmp_path, BURST)
        assert arrivals(BurstGpt(path)) == [0, 40, 113]
        times_s = BurstGpt(path, durations=True).service_times()
        assert times_s is not None and times_s.tolist() == [1.5, 2.5, 0.5]
        assert arrivals(BurstGpt(path, model="ChatGPT")) == [0, 113]
        assert arrivals(BurstGpt(path, log_type="API log", model="GPT-4")) == [0]
        times_s = BurstGpt(path, output_ms=10).service_times()
        assert times_s is not None and times_s == pytest.approx([0.18, 2.3, 2.76])

    def test_burst_gpt_of_the_first_release_has_fewer_columns(self, tmp_path: Path) -> None:
        text = "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type\n5,ChatGPT,472,18,490,API log\n"
        assert arrivals(BurstGpt(written(tmp_path, text))) == [0]
        with pytest.raises(UserError, match="column Elapsed time is missing"):
            BurstGpt(written(tmp_path, text), durations=True)

    def test_mooncake_counts_in_milliseconds(self, tmp_path: Path) -> None:
        load = Mooncake(written(tmp_path, MOONCAKE), input_ms=0.01)
        assert arrivals(load) == pytest.approx([0, 3.052, 6.104])
        times_s = load.service_times()
        assert times_s is not None and times_s == pytest.approx([0.06758, 0.07322, 0.07237])


class TestWindows:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """One request a second, of 0, 1, ... 9 input tokens."""
        lines = [
            f'{{"timestamp": {1000 * second}, "input_length": {second}, "output_length": 1}}' for second in range(10)
        ]
        return written(tmp_path, "\n".join(lines))

    def test_a_window_counts_from_its_beginning(self, path: Path) -> None:
        load = Mooncake(path, from_s=2.5, until_s=6, input_ms=1000)
        assert arrivals(load) == [0.5, 1.5, 2.5]
        times_s = load.service_times()
        assert times_s is not None and times_s.tolist() == [3, 4, 5]

    def test_its_end_does_not_belong_to_it(self, path: Path) -> None:
        assert len(arrivals(Mooncake(path, until_s=3))) == 3

    def test_the_rate_is_scaled(self, path: Path) -> None:
        assert arrivals(Mooncake(path, queries=3, rate_scale=4)) == [0, 0.25, 0.5]

    def test_the_rate_can_be_a_share_of_what_instances_serve(self, path: Path) -> None:
        load = Mooncake(path, utilisation=0.5)
        times_s = arrivals(load, service_s=0.1, instances=4)
        assert load.rate(0.1, 4) == 20
        assert len(times_s) / times_s[-1] == pytest.approx(20)

    def test_it_begins_again_where_it_is_too_short(self, path: Path) -> None:
        load = Mooncake(path, queries=7, from_s=1, until_s=4, wraps=True, input_ms=1000)
        assert arrivals(load) == [0, 1, 2, 3, 4, 5, 6]
        times_s = load.service_times()
        assert times_s is not None and times_s.tolist() == [1, 2, 3, 1, 2, 3, 1]
        assert arrivals(Mooncake(path, queries=12, wraps=True)) == list(range(12))

    def test_or_that_is_refused(self, path: Path) -> None:
        with pytest.raises(SettingError, match=r"queries=7: .*at most 3 .*wraps=true"):
            Mooncake(path, queries=7, from_s=1, until_s=4)

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"from_s": 100}, ["from_s=100", "no arrivals", "to 9 s"]),
            ({"from_s": 5, "until_s": 5}, ["until_s=5", "from_s=5"]),
            ({"warmup": 10}, ["warmup=10", "fewer than the 10"]),
            ({"rate_scale": 2, "utilisation": 0.5}, ["rate_scale", "utilisation"]),
        ],
    )
    def test_what_cannot_be_is_refused(self, path: Path, arguments: dict[str, Any], words: list[str]) -> None:
        with pytest.raises(SettingError) as refused:
            Mooncake(path, **arguments)
        assert all(word in str(refused.value) for word in words)


class TestWrongFiles:
    @pytest.mark.parametrize(
        ("load", "text", "words"),
        [
            (AzureLlm, "TIME,ContextTokens\n1,2\n", ["row 1", "column TIMESTAMP is missing", "GeneratedTokens"]),
            (
                AzureLlm,
                LLM_2023 + "yesterday,1,2\n",
                ["row 6", "TIMESTAMP", "yesterday", "2023-11-16 18:17:03.97996"],
            ),
            (AzureLlm, LLM_2023 + "2023-13-16 18:15:46,1,2\n", ["row 6", "TIMESTAMP", "2023-13-16"]),
            (AzureLlm, LLM_2023 + "2023-11-16 18:15:46,-1,2\n", ["row 6", "ContextTokens", "-1", "0 or more"]),
            (AzureLlm, LLM_2023 + "2023-11-16 18:15:46,1\n", ["row 6", "2 cells", "expected 3"]),
            (AzureLlm, "TIMESTAMP,ContextTokens,GeneratedTokens\n", ["no requests"]),
            (AzureLlm, "", ["an empty file"]),
            (AzureFunctions, "app,func,end_timestamp\na,b,1\n", ["row 1", "column duration is missing"]),
            (AzureFunctions, FUNCTIONS + "a,b,nan,1\n", ["row 5", "end_timestamp", "nan"]),
            (BurstGpt, BURST + "soon,,1,ChatGPT,1,2,3,API log\n", ["row 5", "Timestamp", "soon"]),
            (Mooncake, MOONCAKE + "\n{", ["row 4", "no JSON"]),
            (Mooncake, MOONCAKE + "\n[1]", ["row 4", "[1]", "timestamp"]),
            (Mooncake, MOONCAKE + '\n{"timestamp": 5, "input_length": 2}', ["row 4", "output_length is missing"]),
            (
                Mooncake,
                MOONCAKE + '\n{"timestamp": "5", "input_length": 2, "output_length": 1}',
                ["row 4", "timestamp", "5", "0 or more"],
            ),
        ],
    )
    def test_one_line_says_where_and_what_was_expected(
        self, tmp_path: Path, load: Callable[..., Load], text: str, words: list[str]
    ) -> None:
        path = written(tmp_path, text)
        with pytest.raises(UserError) as refused:
            load(path)
        line = str(refused.value)
        assert line.startswith(f"{path}: ") and "\n" not in line
        assert all(word in line for word in words)

    @pytest.mark.parametrize("load", [AzureLlm, AzureFunctions, BurstGpt, Mooncake])
    def test_a_file_that_is_not_there(self, tmp_path: Path, load: Callable[..., Load]) -> None:
        with pytest.raises(UserError, match="no such file"):
            load(tmp_path / "nowhere")
        with pytest.raises(SettingError, match="path=None: expected a"):
            load(None)

    def test_filters_that_leave_nothing(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="no row has Model=Claude"):
            BurstGpt(written(tmp_path, BURST), model="Claude")

    def test_images_that_a_file_does_not_have(self, tmp_path: Path) -> None:
        with pytest.raises(UserError, match="column NumImages is missing"):
            AzureLlm(written(tmp_path, LLM_2023), image_ms=5)


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("azure_llm", AzureLlm, LLM_2023),
        ("azure_functions", AzureFunctions, FUNCTIONS),
        ("burst_gpt", BurstGpt, BURST),
        ("mooncake", Mooncake, MOONCAKE),
    ],
)
def test_each_shipped_file_makes_a_load(tmp_path: Path, name: str, kind: type[Load], text: str) -> None:
    load = instantiate(OmegaConf.load(CONF / f"{name}.yaml"), path=str(written(tmp_path, text)))
    assert type(load) is kind and load.slo_ms == 1000


def test_a_simulation_takes_the_times_of_the_trace(tmp_path: Path) -> None:
    load = AzureFunctions(written(tmp_path, FUNCTIONS))
    result = simulate([NoRedundancy], load, instances=3, show_progress=False)
    assert result.queries["latency_ms"].tolist() == pytest.approx([78, 850, 500])
    alone = simulate([NoRedundancy], load, instances=1, show_progress=False)
    assert alone.queries["latency_ms"].tolist() == pytest.approx([78, 30 + 850, 380 + 500 + 50], abs=0.1)
