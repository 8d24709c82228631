"""How good reconstructed predictions are of codes over k models, of which a group holds one query's predictions."""

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn

from parity_exp.coding import Code
from parity_exp.data import Samples
from parity_exp.devices.placement import on_device
from parity_exp.models import predict
from parity_exp.tasks import Task
from parity_exp.training.evaluation import Evaluator, Examples, GroupOutputs, Scores


class MembersEvaluator(Evaluator):
    """Runs a code over models over a split: each sample is a group, whose k predictions are the k models'.

    What :meth:`evaluate` gives as available is the mean of the k models; a sample counts once for each of them.

    Args:
        code: encoder and decoder.
        members: the k models.
        parity_models: r networks.
        device: where to run copies of them.
        normalise: brings a batch of queries from how they are kept to what networks see.
    """

    def __init__(
        self,
        code: Code,
        members: Sequence[nn.Module],
        parity_models: Sequence[nn.Module],
        device: torch.device,
        normalise: Callable[[Tensor], Tensor] = lambda queries: queries,
    ) -> None:
        super().__init__(code, parity_models, device, normalise)
        self.members = [on_device(member, device) for member in members]

    @torch.no_grad()
    def examples(self, samples: Samples, predictions: Tensor, seed: int, count: int) -> Examples:
        """Take the first samples."""
        rows = torch.arange(min(count, len(samples)))
        batch = next(self._batches(samples[rows], predictions[rows], seed))
        queries = self._repeated(samples, rows)
        decoded, each = self._decoded_alone(batch.predictions, batch.parities), torch.arange(self.code.k)
        return Examples(
            queries.cpu(),
            self.code.encode(queries).cpu(),
            batch.predictions.cpu(),
            decoded[:, each, each].cpu(),
            batch.labels.cpu(),
        )

    @torch.no_grad()
    def outputs(self, samples: Samples, predictions: Tensor, groups: Tensor) -> tuple[Tensor, Tensor]:
        """The k models' and the parity models' outputs for the first sample of each group."""
        chosen = samples[groups[:, 0]]
        batches = list(self._batches(chosen, predictions[groups[:, 0]], 0))
        return (
            torch.cat([batch.predictions.cpu() for batch in batches]),
            torch.cat([batch.parities.cpu() for batch in batches]),
        )

    def _available(self, samples: Samples, predictions: Tensor, task: Task) -> Scores:
        scores = Scores(task, self.device)
        for own in self._own(samples).unbind(1):
            scores.update(own, samples.labels.to(self.device))
        return scores

    def _batches(self, samples: Samples, predictions: Tensor, seed: int) -> Iterator[GroupOutputs]:
        for rows in torch.arange(len(samples)).split(self._groups_at_once(samples, predictions[0].numel())):
            queries = self._repeated(samples, rows)
            labels = samples.labels[rows].unsqueeze(1)
            yield GroupOutputs(
                predictions=self._own(samples[rows]),
                parities=self._parities(self.code.encode(queries)),
                labels=labels.expand(-1, self.code.k, *labels.shape[2:]).to(self.device),
                counted=torch.ones(len(rows), self.code.k, dtype=torch.bool, device=self.device),
            )

    def _own(self, samples: Samples) -> Tensor:
        """The k models' predictions, ``(N, k, *out)``."""
        own = [predict(member, samples.inputs, self.device, prepare=self.normalise) for member in self.members]
        return torch.stack(own, dim=1)

    def _repeated(self, samples: Samples, rows: Tensor) -> Tensor:
        return self._queries(samples, rows.unsqueeze(1).expand(-1, self.code.k))
