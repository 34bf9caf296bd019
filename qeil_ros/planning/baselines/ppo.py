"""The baseline that learns: proximal policy optimisation (PPO, arXiv 1707.06347) on problem P1.

The paper compares with PPO and says nothing of its states, rewards or training. Here an episode is one step:
the state is the pair of limits, the action a width and two clocks, the reward the objective of P1 where both
limits hold, else what they are overrun by. Advantages need no discount; the rest is the algorithm as printed,
with the clipped surrogate (Eq 7) and a learned baseline.

Needs the extra `torch`, when a policy is trained.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import co_inference
from ..co_inference import Design, Infeasible, Processor, Workload
from ..rate_distortion import gap

__all__ = ["Policy", "Training", "train"]

Floats = NDArray[np.float64]

_FEWEST_BITS = 1.5
"""One bit has an infinite objective (Eq 26); in the reward it counts as this many."""


@dataclass(frozen=True)
class Training:
    """How a policy is trained.

    Attributes:
        steps: policies, each from a new batch of episodes.
        batch: episodes a step.
        epochs: passes over a batch. clip: epsilon of the surrogate. entropy: weight of the entropy bonus.
        hidden: neurons of each of two layers.
    """

    steps: int = 300
    batch: int = 256
    epochs: int = 4
    clip: float = 0.2
    entropy: float = 3e-3
    learning_rate: float = 3e-3
    hidden: int = 32


class Policy:
    """A trained policy for one workload on one pair of processors.

    Attributes:
        reward: the mean reward of the last tenth of the training's episodes, 1 at best.
    """

    def __init__(
        self,
        problem: tuple[Workload, Processor, Processor],
        ranges: Floats,
        network: Any,
        torch: Any,
        reward: float,
    ) -> None:
        self._problem, self._ranges = problem, ranges
        self._network, self._torch = network, torch
        self.reward = reward

    def design(self, delay_limit_s: float, energy_limit_j: float) -> Design:
        """What the policy's mean action makes of these limits.

        Where it breaks one, the width is lowered, at the policy's own clocks, until both hold: without that
        the baseline would return points that may not be used.

        Raises:
            Infeasible: at the policy's clocks not even one bit keeps both limits.
            ValueError: a limit is not positive.
        """
        if not (delay_limit_s > 0 and energy_limit_j > 0):
            raise ValueError(f"limits of {delay_limit_s} s and {energy_limit_j} J; both must be positive")
        work, agent, server = self._problem
        state = _states(np.array([[delay_limit_s, energy_limit_j]]), self._ranges)
        with self._torch.no_grad():
            action = self._network.mean(self._torch.as_tensor(state)).numpy()
        bits, agent_hz, server_hz = (float(column[0]) for column in _points(action, work, agent, server))
        for lowered in range(int(bits), 0, -1):
            point = lowered, agent_hz, server_hz
            delay_s = co_inference.delay_s(work, agent, server, *point)
            energy_j = co_inference.energy_j(work, agent, server, *point)
            if delay_s <= delay_limit_s and energy_j <= energy_limit_j:
                return Design(*point, delay_s, energy_j)
        late = delay_s > delay_limit_s
        raise Infeasible(
            "delay" if late else "energy",
            delay_s if late else energy_j,
            f"at the policy's clocks, {agent_hz:.4g} and {server_hz:.4g} Hz, one bit takes {delay_s:.6g} s "
            f"and {energy_j:.6g} J",
        )


def train(
    work: Workload,
    agent: Processor,
    server: Processor,
    delay_limits_s: tuple[float, float],
    energy_limits_j: tuple[float, float],
    *,
    seed: int,
    training: Training | None = None,
) -> Policy:
    """Trains a policy on limits drawn log-uniformly from two ranges. Uses one thread of torch.

    Raises:
        ValueError: a range is empty or not positive.
        ModuleNotFoundError: torch is missing.
    """
    for low, high in (delay_limits_s, energy_limits_j):
        if not 0 < low <= high < math.inf:
            raise ValueError(f"limits from {low} to {high}; want a positive range")
    torch = _torch()
    plan = training or Training()
    ranges = np.log(np.array([delay_limits_s, energy_limits_j]))
    rng = np.random.default_rng(seed)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    try:
        network = _Network(torch, plan.hidden)
        rewards = _optimise(torch, network, plan, rng, ranges, (work, agent, server))
    finally:
        torch.set_num_threads(threads)
        torch.random.set_rng_state(state)
    last = rewards[-max(1, len(rewards) // 10) :]
    return Policy((work, agent, server), ranges, network, torch, float(np.mean(last)))


class _Network:
    """Mean action [N, 3] and value [N] of states [N, 2]; one standard deviation for each action."""

    def __init__(self, torch: Any, hidden: int) -> None:
        nn = torch.nn

        def layers(outputs: int) -> Any:
            return nn.Sequential(
                nn.Linear(2, hidden),
                nn.Tanh(),
                nn.Linear(hidden, hidden),
                nn.Tanh(),
                nn.Linear(hidden, outputs),
            ).double()

        self.mean, self._value = layers(3), layers(1)
        self._log_spread = nn.Parameter(torch.full((3,), -0.5, dtype=torch.float64))
        self.parameters = [*self.mean.parameters(), *self._value.parameters(), self._log_spread]
        self._normal = torch.distributions.Normal

    def actions(self, states: Any) -> Any:
        return self._normal(self.mean(states), self._log_spread.exp())

    def value(self, states: Any) -> Any:
        return self._value(states)[:, 0]


def _optimise(
    torch: Any,
    network: _Network,
    plan: Training,
    rng: np.random.Generator,
    ranges: Floats,
    problem: tuple[Workload, Processor, Processor],
) -> list[float]:
    """The mean reward of each step."""
    optimiser = torch.optim.Adam(network.parameters, lr=plan.learning_rate)
    schedule = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.05, plan.steps)
    rewards = []
    for _ in range(plan.steps):
        limits = np.exp(rng.uniform(ranges[:, 0], ranges[:, 1], (plan.batch, 2)))
        states = torch.as_tensor(_states(limits, ranges))
        with torch.no_grad():
            policy = network.actions(states)
            actions = policy.sample()
            before = policy.log_prob(actions).sum(1)
            reward = torch.as_tensor(_rewards(_points(actions.numpy(), *problem), limits, *problem))
            advantage = reward - network.value(states)
            advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-8)
        for _ in range(plan.epochs):
            policy = network.actions(states)
            ratio = (policy.log_prob(actions).sum(1) - before).exp()
            clipped = ratio.clamp(1 - plan.clip, 1 + plan.clip)
            surrogate = torch.minimum(ratio * advantage, clipped * advantage).mean()
            value_loss = (network.value(states) - reward).square().mean()
            loss = value_loss - surrogate - plan.entropy * policy.entropy().sum(1).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
        rewards.append(float(reward.mean()))
    return rewards


def _states(limits: Floats, ranges: Floats) -> Floats:
    """Limits [N, 2] in s and J as -1 to 1 in their ranges, logarithmically."""
    middle, half = ranges.mean(axis=1), np.maximum((ranges[:, 1] - ranges[:, 0]) / 2, 1e-9)
    return np.asarray((np.log(limits) - middle) / half)


def _points(
    actions: Floats, work: Workload, agent: Processor, server: Processor
) -> tuple[Floats, Floats, Floats]:
    """Widths and clocks [N] each of actions [N, 3]: squashed to 0 to 1, the widths to whole numbers."""
    share = 1 / (1 + np.exp(-np.clip(2 * actions, -30, 30)))
    bits = np.minimum(1 + np.floor(share[:, 0] * work.max_bits), work.max_bits)
    least = 1e-3  # of the highest clock: a clock of zero never ends
    return bits, np.maximum(share[:, 1], least) * agent.max_hz, np.maximum(share[:, 2], least) * server.max_hz


def _rewards(
    points: tuple[Floats, Floats, Floats],
    limits: Floats,
    work: Workload,
    agent: Processor,
    server: Processor,
) -> Floats:
    """[N]: 0 to 1 by the logarithm of P1's objective where both limits hold; else less the overrun, to -1."""
    bits, agent_hz, server_hz = points
    cycles = bits * work.agent_flop / (work.stored_bits * agent.flop_per_cycle)
    server_cycles = work.server_flop / server.flop_per_cycle
    delay_s = cycles / agent_hz + server_cycles / server_hz
    energy_j = agent.joule_factor * cycles * agent_hz**2 + server.joule_factor * server_cycles * server_hz**2
    overrun = np.maximum(np.log(delay_s / limits[:, 0]), np.log(energy_j / limits[:, 1]))
    worst, best = (math.log(float(gap(b, 1.0))) for b in (_FEWEST_BITS, max(work.max_bits, 2)))
    objective = np.log(gap(np.maximum(bits, _FEWEST_BITS), 1.0))
    return np.asarray(np.where(overrun <= 0, (worst - objective) / (worst - best), -np.minimum(overrun, 1.0)))


def _torch() -> Any:
    try:
        return import_module("torch")
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            'the PPO baseline needs torch: pip install "qeil-ros[torch]"; the other baselines need nothing'
        ) from error
