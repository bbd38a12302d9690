"""Every key of the dashboard, once: the bindings, the help and the last line are made from this table."""

from dataclasses import dataclass

from textual.binding import Binding


@dataclass(frozen=True, slots=True)
class Key:
    """One key: what it is called on screen, what it does, in a word and in a sentence."""

    id: str
    keys: str
    """As Textual names them, separated by commas."""
    action: str
    face: str
    """As printed on the keyboard."""
    word: str
    sentence: str

    def binding(self) -> Binding:
        """For a BINDINGS list."""
        return Binding(
            self.keys,
            self.action,
            self.sentence,
            id=self.id,
            key_display=self.face,
            tooltip=self.sentence,
            show=False,
        )


Groups = tuple[tuple[str, tuple[Key, ...]], ...]
"""Keys under the headings of the help."""

RUN_KEYS = (
    Key("run.pause", "space", "pause_or_resume", "space", "pause", "Pause the training, or let it go on"),
    Key("run.step", "s", "step_once", "s", "step", "Do one training step, then pause"),
    Key("run.detach", "q", "detach", "q", "detach", "Leave the dashboard; the training goes on"),
    Key("run.stop", "Q", "stop", "Q", "stop", "Stop the training (asks, can save a checkpoint)"),
)
PANEL_KEYS = (
    *(
        Key(
            f"panel.{n}",
            str(n),
            f"panel({n})",
            str(n),
            "panel",
            f"Go to panel {n}; again: as large as it gets, or back",
        )
        for n in range(1, 10)
    ),
    Key(
        "panel.maximise",
        "z",
        "maximise",
        "z",
        "maximise",
        "Maximise the focused panel, or go back",
    ),
    Key("panel.next", "tab", "app.focus_next", "tab", "next panel", "Go to the next panel"),
    Key("panel.previous", "shift+tab", "app.focus_previous", "⇧tab", "previous", "Go to the panel before"),
    Key("panel.back", "escape", "back", "esc", "back", "Undo: maximised panel, cursor, zoom, filter"),
)
CHART_KEYS = (
    Key("chart.left", "left", "cursor(-1)", "←", "cursor", "Move the cursor of all charts back"),
    Key("chart.right", "right", "cursor(1)", "→", "cursor", "Move the cursor of all charts forward"),
    Key("chart.pan_left", "shift+left", "pan(-1)", "⇧←", "pan", "Look at earlier steps"),
    Key("chart.pan_right", "shift+right", "pan(1)", "⇧→", "pan", "Look at later steps"),
    Key("chart.zoom_in", "plus,equals_sign", "zoom(1)", "+", "zoom", "Zoom in around the cursor"),
    Key("chart.zoom_out", "minus", "zoom(-1)", "−", "zoom out", "Zoom out"),
    Key("chart.whole", "0", "whole", "0", "whole run", "Show the whole run"),
    Key("chart.log", "g", "log_y", "g", "log axis", "Logarithmic or linear axis"),
    Key("chart.axis", "x", "x_axis", "x", "x axis", "Count along the axis by step, epoch or time"),
    Key("chart.smoothing", "m", "smoothing", "m", "smoothing", "More smoothing, or none"),
)
LAYER_KEYS = (
    Key("layers.filter", "slash", "filter", "/", "filter", "Show only the layers whose name holds a text"),
    Key("layers.worst", "w", "worst_first", "w", "worst first", "Worst layers first, or the model's order"),
    Key(
        "layers.histogram",
        "h",
        "histograms",
        "h",
        "histogram",
        "Histograms of weights, of gradients, of activations, or ranges",
    ),
)
HELP_KEYS = (
    Key("help.open", "question_mark", "help", "?", "help", "All keys, and how to read the panels"),
    Key("help.palette", "ctrl+p", "app.command_palette", "ctrl+p", "commands", "Find a command by its name"),
)
GROUPS: Groups = (
    ("Training", RUN_KEYS),
    ("Charts", CHART_KEYS),
    ("Layers", LAYER_KEYS),
    ("Panels", PANEL_KEYS),
    ("Help", HELP_KEYS),
)
CHECK_KEYS = (
    Key("check.run", "enter", "start_run", "enter", "start the run", "Start the run, once the check is over"),
    Key("check.leave", "q,Q", "detach", "q", "leave", "Leave the check; it ends with its dashboard"),
)
CHECK_GROUPS: Groups = (
    ("Check", CHECK_KEYS),
    ("Charts", tuple(key for key in CHART_KEYS if key.id != "chart.axis")),
    ("Ranges", tuple(key for key in LAYER_KEYS if key.id != "layers.histogram")),
    ("Panels", PANEL_KEYS),
    ("Help", HELP_KEYS),
)

TRIAL_KEYS = (
    Key("trial.leave", "q,Q", "detach", "q", "leave", "Leave; what is tried ends with its dashboard"),
)
TRIAL_GROUPS: Groups = (
    ("Trial", TRIAL_KEYS),
    ("Charts", tuple(key for key in CHART_KEYS if key.id not in ("chart.axis", "chart.smoothing"))),
    ("Panels", PANEL_KEYS),
    ("Help", HELP_KEYS),
)


def keys_of(groups: Groups) -> tuple[Key, ...]:
    """All of them, in their order."""
    return tuple(key for _, keys in groups for key in keys)


ALL_KEYS = keys_of(GROUPS)
