"""The Python API in one page: plan a cut, schedule tasks, train the cut network on handwritten digits.

Runs in less than a minute on two cores:  python examples/python_api.py
"""

import numpy as np
import pytorch_lightning as pl
import torch
import torchvision

import cloudedge_pl as ce


def main(max_epochs: int = 3) -> dict[str, float]:
    # Six boards of two kinds behind a link of 20 Mbit/s; the task may use 100 MB of memory on each.
    link = ce.Link(bandwidth_bits_per_second=20e6, propagation_seconds=0.02, variation=0.5)
    fleet = ce.Fleet.preset(["raspberry-pi-4", "jetson-nano"], num_nodes=6, memory_bytes=100e6, link=link)

    # Plan: what does ResNet-34 cost at every split point, and how deep can the edge part be?
    profile = ce.profile(torchvision.models.resnet34(), torch.zeros(1, 3, 224, 224))
    workload = ce.Workload(arrival_rate=4.0, max_delay_seconds=1.0, phase="inference")
    plan = ce.plan_offloading(profile, fleet, workload)
    name = profile.names[plan.split_point]
    print(f"ResNet-34: cut after {name}, split point {plan.split_point} of 0..{profile.num_segments}")

    # Schedule: 50 such tasks on these six nodes.
    speeds = np.array([node.effective_flops_per_second for node in fleet.nodes])
    times = np.tile(profile.flops[plan.split_point] / speeds, (50, 1))
    assignment = ce.schedule(times, scheduler="atsa", seed=0)
    print(f"50 tasks: {assignment.tasks_per_node} a node, all done after {assignment.makespan_seconds:.2f} s")

    # Train: the network is cut between fleet and cloud; every batch is routed, every joule accounted for.
    pl.seed_everything(0)
    strategy = ce.CloudEdgeStrategy(fleet=fleet, scheduler="atsa")
    trainer = pl.Trainer(
        strategy=strategy,
        callbacks=[ce.WeightedAggregation(every_n_steps=1), ce.CloudDormancy()],
        max_epochs=max_epochs,
        logger=False,
        enable_checkpointing=False,
    )
    model = ce.CloudEdgeModule(
        "resnet18", num_classes=10, edge_loss_weight=0.3, optimizer="sgd", learning_rate=0.02
    )
    digits = ce.DigitsDataModule(batch_size=64, image_size=16)
    trainer.fit(model, datamodule=digits)
    (scores,) = trainer.test(model, datamodule=digits)
    costs = strategy.simulator.summary()
    print(f"a task: {costs['mean_delay_seconds']:.3f} s, {costs['mean_energy_joules']:.2f} J, simulated")
    return scores


if __name__ == "__main__":
    main()
