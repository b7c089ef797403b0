"""The dock below the slide that explains the spot that was clicked."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QImage, QPixmap
from qtpy.QtWidgets import QFrame, QGridLayout, QHBoxLayout, QLabel, QScrollArea, QVBoxLayout, QWidget

from napari_mclstexp.core.result import STATEMENT

if TYPE_CHECKING:
    from napari_mclstexp.core.spot_card import Match, SpotCard

THUMBNAIL = 64
SHOWN_MATCHES = 8
WIDTH, HEIGHT, TOLD = 440, 222, 150


class SpotView(QWidget):
    """A spot's genes, how far to believe them, and the reference spots that they rest on."""

    def __init__(self) -> None:
        super().__init__()
        self.title, self.trust, self.statement = QLabel(), QLabel(), QLabel(STATEMENT)
        self.above, self.below = QLabel(), QLabel()
        self.matches_title = QLabel()
        font = self.title.font()
        font.setBold(True)
        self.title.setFont(font)
        self.title.setWordWrap(True)
        self.trust.setToolTip(
            "Similarity to the matches, with its percentile among spots of sections that the model had "
            "not seen; and how many reference spots carry the weight"
        )
        self.above.setToolTip("Genes above the slide's mean, in standard deviations over the spots")
        self.below.setToolTip("Genes below the slide's mean, in standard deviations over the spots")
        for label in (self.trust, self.statement, self.matches_title):
            label.setWordWrap(True)
        for label in (self.trust, self.statement, self.above, self.below, self.matches_title):
            label.setAlignment(Qt.AlignmentFlag.AlignTop | Qt.AlignmentFlag.AlignLeft)
        told = QVBoxLayout()
        told.addWidget(self.title)
        told.addWidget(self.trust)
        told.addStretch(1)
        genes = QHBoxLayout()
        genes.addWidget(self.above, 1)
        genes.addWidget(self.below, 1)
        self._row = QHBoxLayout()
        self._row.setSpacing(6)
        inside = QWidget()
        inside.setLayout(self._row)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setVerticalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        scroll.setMinimumWidth(THUMBNAIL + 16)
        matches = QVBoxLayout()
        matches.addWidget(self.matches_title)
        matches.addWidget(scroll, 1)
        whole = QGridLayout(self)
        whole.addLayout(told, 0, 0)
        whole.addLayout(genes, 0, 1)
        whole.addLayout(matches, 0, 2)
        whole.addWidget(self.statement, 1, 0, 1, 3)
        for column, share in enumerate((3, 2, 6)):
            whole.setColumnStretch(column, share)
        whole.setColumnMinimumWidth(0, TOLD)
        self.setMinimumHeight(HEIGHT)

    def sizeHint(self) -> QSize:  # noqa: D102 - Qt's name
        return QSize(WIDTH, HEIGHT)  # what does not fit is scrolled to: a wider dock would widen the window

    def show_card(self, card: SpotCard) -> None:
        """Show what is known of a spot."""
        self.title.setText(f"Spot {card.spot_id}" + (f" · {card.domain}" if card.domain else ""))
        self.trust.setText("\n".join(_trust(card)))
        self.above.setText("\n".join(["Above mean (sd)", *_genes(card.above)]))
        self.below.setText("\n".join(["Below mean (sd)", *_genes(card.below)]))
        shown = card.matches[:SHOWN_MATCHES]
        share = sum(match.weight for match in shown)
        self.matches_title.setText(
            f"Heaviest reference spots ({share:.0%} of the weight)"
            if shown
            else "This result does not tell its reference spots."
        )
        while (item := self._row.takeAt(0)) is not None:
            if item.widget() is not None:
                item.widget().deleteLater()
        for match in shown:
            self._row.addWidget(_tile(match))
        self._row.addStretch(1)


def _trust(card: SpotCard) -> list[str]:
    if card.unlike:
        lines = ["Unlike the reference: do not believe its values."]
    elif card.unlike is None:
        lines = ["This model cannot tell tissue unlike its reference."]
    else:
        lines = ["Tissue like the reference's."]
    rank = "" if card.percentile is None else f" ({_ordinal(card.percentile)} percentile)"
    lines.append(f"Similarity {card.similarity:.2f}{rank}")
    patients = ""
    if card.patients is not None:
        patients = f", {card.patients} patient{'s' * (card.patients != 1)}"
    lines.append(f"About {card.effective_k:.0f} reference spots{patients}")
    return lines


def _ordinal(value: float) -> str:
    number = round(value)
    ending = {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{'th' if number % 100 in (11, 12, 13) else ending}"


def _genes(told: tuple[tuple[str, float], ...]) -> list[str]:
    return [f"{gene}  {difference:+.1f}" for gene, difference in told] or ["–"]


def _tile(match: Match) -> QWidget:
    tile = QWidget()
    column = QVBoxLayout(tile)
    column.setContentsMargins(0, 0, 0, 0)
    column.setSpacing(1)
    if match.thumbnail is not None:
        picture = QLabel()
        height, width = match.thumbnail.shape[:2]
        image = QImage(match.thumbnail.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        picture.setPixmap(QPixmap.fromImage(image.copy()).scaledToWidth(THUMBNAIL))
        column.addWidget(picture)
    lines = [f"{match.weight:.1%}", match.section]
    if match.patient and match.patient != match.section:
        lines.append(match.patient)
    text = QLabel("\n".join(line for line in lines if line))
    text.setToolTip("Weight, section and patient of a reference spot")
    column.addWidget(text)
    column.addStretch(1)
    return tile
