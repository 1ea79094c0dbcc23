"""The report on paper: the same document as the page, on A4, the same bytes every time."""

from collections.abc import Sequence
from io import BytesIO

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import (
    CondPageBreak,
    Flowable,
    Image,
    KeepTogether,
    ListFlowable,
    ListItem,
    Paragraph,
    SimpleDocTemplate,
    Spacer,
    Table,
    TableStyle,
)

from deeppneumonia.reports.chart import to_drawing
from deeppneumonia.reports.document import Fact, KeyFinding, ProbabilityLine, ReportDocument
from deeppneumonia.reports.lettering import in_fonts
from deeppneumonia.reports.palette import (
    INK,
    NOTICE,
    NOTICE_TINT,
    PAPER_TINT,
    QUIET,
    RULE,
    class_colour,
)
from deeppneumonia.reports.probability_bar import ProbabilityBar

MARGIN = 18 * mm
WIDTH = A4[0] - 2 * MARGIN
FRAME_PADDING = 6
"""What reportlab leaves free inside its frame, in points."""

BODY = ParagraphStyle("body", fontName="Helvetica", fontSize=9.5, leading=13.5, textColor=INK)
TITLE = ParagraphStyle("title", BODY, fontName="Helvetica-Bold", fontSize=10, textColor=QUIET)
ANSWER = ParagraphStyle("answer", BODY, fontName="Helvetica-Bold", fontSize=17, leading=22)
HEADING = ParagraphStyle(
    "heading", BODY, fontName="Helvetica-Bold", fontSize=8.5, textColor=QUIET, spaceBefore=14
)
SUBHEADING = ParagraphStyle("subheading", BODY, fontName="Helvetica-Bold", spaceBefore=4)
HEADLINE = ParagraphStyle("headline", BODY, fontName="Helvetica-Bold", fontSize=13, leading=18)
SMALL = ParagraphStyle("small", BODY, fontSize=8, leading=11, textColor=QUIET)
WARNING = ParagraphStyle(
    "warning", BODY, fontName="Helvetica-Bold", fontSize=8.5, textColor=NOTICE, alignment=1
)


def render_pdf(document: ReportDocument, pictures: Sequence[bytes]) -> bytes:
    """The whole report as one PDF file; the same document gives the same bytes.

    Args:
        document: what it says.
        pictures: PNG files, one for each of `document.key_findings`.
    """
    file = BytesIO()
    template = SimpleDocTemplate(
        file,
        pagesize=A4,
        leftMargin=MARGIN - FRAME_PADDING,
        rightMargin=MARGIN - FRAME_PADDING,
        topMargin=16 * mm,
        bottomMargin=20 * mm,
        title=f"{document.title}: {document.impression.headline}",
        author="DeepPneumonia",
        subject=document.disclaimer,
        invariant=1,
    )

    def footer(canvas: Canvas, _: SimpleDocTemplate) -> None:
        canvas.setFont("Helvetica", 8)
        canvas.setFillColor(HexColor(QUIET))
        canvas.drawString(MARGIN, 11 * mm, document.disclaimer)
        canvas.drawRightString(A4[0] - MARGIN, 11 * mm, f"Page {canvas.getPageNumber()}")

    template.build(_story(document, pictures), onFirstPage=footer, onLaterPages=footer)
    return file.getvalue()


def _story(document: ReportDocument, pictures: Sequence[bytes]) -> list[Flowable]:
    return [
        *_header(document),
        _heading("Technique"),
        _facts(document.technique),
        *_findings(document, pictures),
        *_impression(document),
        *_quality(document),
        KeepTogether([_heading("Limits"), _bullets(document.limits)]),
        KeepTogether([_heading("Provenance"), _facts(document.provenance, SMALL)]),
    ]


def _text(text: str, style: ParagraphStyle = BODY) -> Paragraph:
    return Paragraph(in_fonts(text), style)


def _heading(text: str) -> Flowable:
    table = Table([[_text(text.upper(), HEADING)]], colWidths=[WIDTH], spaceBefore=12, spaceAfter=5)
    table.setStyle(
        TableStyle([("LINEBELOW", (0, 0), (-1, -1), 0.6, HexColor(RULE)), *_padding(0, 3)])
    )
    table.keepWithNext = True
    return table


def _padding(
    sides: float, ends: float
) -> list[tuple[str, tuple[int, int], tuple[int, int], float]]:
    return [
        (f"{side}PADDING", (0, 0), (-1, -1), sides if side in {"LEFT", "RIGHT"} else ends)
        for side in ("LEFT", "RIGHT", "TOP", "BOTTOM")
    ]


def _header(document: ReportDocument) -> list[Flowable]:
    notice = Table([[_text(document.disclaimer, WARNING)]], colWidths=[WIDTH])
    notice.setStyle(
        TableStyle([("BACKGROUND", (0, 0), (-1, -1), HexColor(NOTICE_TINT)), *_padding(6, 5)])
    )
    return [
        notice,
        Spacer(0, 16),
        _text(document.title, TITLE),
        _text(document.impression.headline, ANSWER),
        _text(f"Status: {document.status}. {document.created}", SMALL),
    ]


def _facts(facts: Sequence[Fact], style: ParagraphStyle = BODY) -> Flowable:
    quiet = ParagraphStyle("name", style, textColor=QUIET)
    rows = [[_text(fact.name, quiet), _text(fact.value, style)] for fact in facts]
    table = Table(rows, colWidths=[38 * mm, WIDTH - 38 * mm])
    apart = ("RIGHTPADDING", (0, 0), (0, -1), 6)
    table.setStyle(TableStyle([("VALIGN", (0, 0), (-1, -1), "TOP"), *_padding(0, 1.2), apart]))
    return table


def _bullets(sentences: Sequence[str]) -> Flowable:
    items = [ListItem(_text(one), spaceAfter=2.5) for one in sentences]
    return ListFlowable(
        items, bulletType="bullet", start="•", leftIndent=10, bulletFontSize=8, bulletColor=QUIET
    )


def _findings(document: ReportDocument, pictures: Sequence[bytes]) -> list[Flowable]:
    story: list[Flowable] = [_heading("Findings"), *map(_text, document.findings)]
    for key, picture in zip(document.key_findings, pictures, strict=True):
        story += [Spacer(0, 12), KeepTogether(_key_slice(key, picture))]
    if document.slices:
        chart = [
            _text(f"All slices, {' to '.join(document.ends)}", SUBHEADING),
            _colour_key(document),
            to_drawing(document, WIDTH),
            _text(document.chart_caption, SMALL),
        ]
        story += [Spacer(0, 12), KeepTogether(chart)]
    return story


def _colour_key(document: ReportDocument) -> Paragraph:
    lines = sorted(document.impression.probabilities, key=lambda line: line.position)
    parts = [
        f'<font color="{class_colour(line.position).light}" name="ZapfDingbats">n</font> '
        f"{in_fonts(line.title)}"
        for line in lines
    ]
    return Paragraph("&nbsp;&nbsp;&nbsp;&nbsp;".join(parts), SMALL)


def _key_slice(key: KeyFinding, picture: bytes) -> list[Flowable]:
    image = Image(BytesIO(picture))
    scale = min(WIDTH / image.imageWidth, 105 * mm / image.imageHeight)
    image.drawWidth, image.drawHeight = image.imageWidth * scale, image.imageHeight * scale
    heading = f"{key.title}: {key.position}" if key.position else key.title
    details = [
        f"{line.number}: weight {line.weight}" + (f", {line.place}" if line.place else "")
        for line in key.details
    ]
    noun = "Detail" if len(details) == 1 else "Details"
    return [
        _text(heading, SUBHEADING),
        Spacer(0, 4),
        image,
        Spacer(0, 2),
        _text("; ".join(f"{line.title} {line.percent}" for line in key.probabilities) + "."),
        _text(f"{key.heat_caption} {key.details_caption}", SMALL),
        *([_text(f"{noun} {'; '.join(details)}.", SMALL)] if details else []),
    ]


def _bars(lines: Sequence[ProbabilityLine], width: float) -> Flowable:
    bold = ParagraphStyle("bold", BODY, fontName="Helvetica-Bold", alignment=2)
    quiet = ParagraphStyle("quiet", BODY, textColor=QUIET)
    rows = [
        [
            _text(line.title),
            ProbabilityBar(line.probability, class_colour(line.position).light),
            _text(line.percent, bold),
            _text(line.words, quiet),
        ]
        for line in lines
    ]
    table = Table(rows, colWidths=[share * width for share in (0.3, 0.36, 0.09, 0.25)])
    table.setStyle(
        TableStyle(
            [
                ("VALIGN", (0, 0), (-1, -1), "MIDDLE"),
                *_padding(0, 1.5),
                ("LEFTPADDING", (3, 0), (3, -1), 9),
            ]
        )
    )
    return table


def _impression(document: ReportDocument) -> list[Flowable]:
    impression = document.impression
    content: list[Flowable] = [
        _text(impression.headline, HEADLINE),
        *map(_text, impression.sentences),
    ]
    if impression.reasons:
        content += [Spacer(0, 3), _bullets(impression.reasons)]
    if impression.probabilities:
        content += [Spacer(0, 5), _bars(impression.probabilities, WIDTH - 24)]
    frame = Table([[content]], colWidths=[WIDTH])
    frame.setStyle(
        TableStyle([("BACKGROUND", (0, 0), (-1, -1), HexColor(PAPER_TINT)), *_padding(12, 9)])
    )
    return [CondPageBreak(50 * mm), _heading("Impression"), frame]


def _quality(document: ReportDocument) -> list[Flowable]:
    sentences = [
        flag.message + (" No answer because of this." if flag.blocks else "")
        for flag in document.flags
    ]
    said = _bullets(sentences) if sentences else _text(document.quality_remark)
    trust = [Spacer(0, 4), _facts(document.trust)] if document.trust else []
    return [_heading("Quality"), said, *trust]
