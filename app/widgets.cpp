#include "widgets.h"

#include <QAbstractSpinBox>
#include <QEvent>
#include <QFile>
#include <QHBoxLayout>
#include <QIconEngine>
#include <QPainter>
#include <QPixmapCache>
#include <QSlider>
#include <QStyleOptionToolButton>
#include <QStylePainter>
#include <QSvgRenderer>
#include <QToolTip>
#include <QVBoxLayout>
#include <QWheelEvent>

#include "panels/panel_widgets.h"
#include "plot_style.h"

// The resources lie in a static library: the linker keeps them only where somebody asks. Must stand outside a namespace.
static void load_resources() { Q_INIT_RESOURCE(resources); }

namespace lrc::app {

namespace {

/// Draws an SVG in the text colour of the theme in force at the time of painting, so that icons follow the theme by themselves.
class ThemedIconEngine : public QIconEngine {
 public:
  explicit ThemedIconEngine(QByteArray source) : source_(std::move(source)) {}

  void paint(QPainter* painter, const QRect& rect, QIcon::Mode mode, QIcon::State state) override {
    const double ratio = painter->device()->devicePixelRatioF();
    painter->drawPixmap(rect, scaledPixmap(rect.size() * ratio, mode, state, ratio));
  }
  QPixmap pixmap(const QSize& size, QIcon::Mode mode, QIcon::State state) override { return scaledPixmap(size, mode, state, 1); }
  QPixmap scaledPixmap(const QSize& size, QIcon::Mode mode, QIcon::State, qreal ratio) override {
    const QColor colour = mode == QIcon::Disabled ? colours().faint : colours().text;
    const QString key =
        QString("themed:%1:%2:%3x%4@%5").arg(qHash(source_)).arg(colour.name()).arg(size.width()).arg(size.height()).arg(ratio);
    QPixmap pixmap;
    if (!QPixmapCache::find(key, &pixmap)) {
      QByteArray svg = source_;
      svg.replace("currentColor", colour.name().toUtf8());
      QSvgRenderer renderer(svg);
      pixmap = QPixmap(size);
      pixmap.fill(Qt::transparent);
      QPainter painter(&pixmap);
      renderer.render(&painter);
      painter.end();
      QPixmapCache::insert(key, pixmap);
    }
    pixmap.setDevicePixelRatio(ratio);
    return pixmap;
  }
  QIconEngine* clone() const override { return new ThemedIconEngine(*this); }

 private:
  QByteArray source_;
};

}  // namespace

QIcon themed_icon(const QString& name) {
  load_resources();
  QFile file(":/icons/" + name + ".svg");
  if (!file.open(QIODevice::ReadOnly)) return {};
  return QIcon(new ThemedIconEngine(file.readAll()));
}

IconButton::IconButton(const QString& icon, const QString& tooltip, QWidget* parent) : QToolButton(parent) {
  setAutoRaise(true);
  setFixedSize(24, 24);
  setIconSize({16, 16});
  setIcon(themed_icon(icon));
  setToolTip(tooltip);
  setAccessibleName(tooltip);
  setFocusPolicy(Qt::TabFocus);
}

SegmentButton::SegmentButton(const QString& text, bool compact, QWidget* parent) : QToolButton(parent), compact_(compact) {
  setText(text);
  setCheckable(true);
  setToolButtonStyle(Qt::ToolButtonTextOnly);
}

void SegmentButton::setLast(bool last) {
  last_ = last;
  updateGeometry();
  update();
}

QSize SegmentButton::sizeHint() const {
  const QSize text = fontMetrics().size(Qt::TextShowMnemonic, this->text());
  return {text.width() + (compact_ ? 6 : 26) + 1 + int(last_), text.height() + 8};
}

void SegmentButton::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  const bool checked = isChecked();
  QColor ground = checked ? c.highlight : underMouse() ? c.selected_row : c.base, ink = checked ? QColor(Qt::white) : c.text;
  QColor frame = checked ? c.highlight : c.line;
  if (!isEnabled()) ground = checked ? c.line : c.window, ink = checked ? c.dim : c.faint, frame = c.line;
  QPainter painter(this);
  painter.fillRect(rect(), frame);
  painter.fillRect(rect().adjusted(1, 1, last_ ? -1 : 0, -1), ground);
  if (hasFocus()) {
    painter.setPen(QPen(c.a_fill, 2));
    painter.drawRect(rect().adjusted(1, 1, -1, -1));
  }
  painter.setPen(ink);
  painter.drawText(rect(), Qt::AlignCenter | Qt::TextShowMnemonic, text());
}

LineButton::LineButton(const QString& text, QWidget* parent) : QPushButton(text, parent) {
  setFlat(true);
  setAttribute(Qt::WA_Hover);
}

QSize LineButton::sizeHint() const { return {fontMetrics().horizontalAdvance(text()) + 18, fontMetrics().height() + 8}; }

void LineButton::paintEvent(QPaintEvent*) {
  const Colours& c = colours();
  QPainter painter(this);
  if (isEnabled() && (underMouse() || isDown())) painter.fillRect(rect(), c.selected_row);
  if (hasFocus()) {
    painter.setPen(QPen(c.a_fill, 2));
    painter.drawRect(rect().adjusted(1, 1, -1, -1));
  }
  painter.setPen(isEnabled() ? c.text : c.faint);
  painter.drawText(rect().adjusted(8, 0, -8, 0), Qt::AlignLeft | Qt::AlignVCenter,
                   fontMetrics().elidedText(text(), Qt::ElideRight, width() - 16));
}

void FilterField::setState(State state) {
  if (state == state_) return;
  state_ = state;
  tint();
}

void FilterField::changeEvent(QEvent* event) {
  QLineEdit::changeEvent(event);
  // The same ground again changes nothing, and setPalette comes back here.
  if (event->type() == QEvent::PaletteChange && state_ != State::plain && palette().color(QPalette::Base) != ground()) tint();
}

void FilterField::tint() {
  QPalette own;  // all that is not set stays the application's
  if (state_ != State::plain) own.setColor(QPalette::Base, ground());
  setPalette(own);
}

QColor FilterField::ground() const { return state_ == State::valid ? colours().ok_ground : colours().bad_ground; }

void ElidedCombo::paintEvent(QPaintEvent*) {
  QStylePainter painter(this);
  QStyleOptionComboBox option;
  initStyleOption(&option);
  painter.drawComplexControl(QStyle::CC_ComboBox, option);
  const QRect field = style()->subControlRect(QStyle::CC_ComboBox, &option, QStyle::SC_ComboBoxEditField, this);
  option.currentText = fontMetrics().elidedText(option.currentText, Qt::ElideRight, field.width() - 4);
  painter.drawControl(QStyle::CE_ComboBoxLabel, option);
}

bool ElidedCombo::event(QEvent* event) {
  if (event->type() == QEvent::ToolTip && toolTip().isEmpty()) {
    QToolTip::showText(static_cast<QHelpEvent*>(event)->globalPos(), currentText(), this);
    return true;
  }
  return QComboBox::event(event);
}

namespace {

/// An arrow and a bold name without a button's frame, which would be sunken while the section is open.
class HeadingButton : public QToolButton {
 public:
  using QToolButton::QToolButton;

 protected:
  void paintEvent(QPaintEvent*) override {
    QStylePainter painter(this);
    QStyleOptionToolButton option;
    initStyleOption(&option);
    option.state &= ~(QStyle::State_On | QStyle::State_Sunken | QStyle::State_Raised);
    painter.drawControl(QStyle::CE_ToolButtonLabel, option);
    if (!hasFocus()) return;
    painter.setPen(QPen(colours().a_fill, 2));
    painter.drawRect(rect().adjusted(1, 1, -1, -1));
  }
};

}  // namespace

FoldingSection::FoldingSection(const QString& title, QWidget* parent) : QWidget(parent) {
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(4);
  auto* row = new QHBoxLayout;
  row->setSpacing(8);
  header_ = new HeadingButton(this);
  header_->setText(title);
  header_->setAccessibleName(title);
  header_->setCheckable(true);
  header_->setChecked(true);
  header_->setAutoRaise(true);
  header_->setArrowType(Qt::DownArrow);
  header_->setToolButtonStyle(Qt::ToolButtonTextBesideIcon);
  QFont bold = font();
  bold.setBold(true);
  header_->setFont(bold);
  summary_ = new ElidedLabel({}, Qt::ElideRight, this);
  summary_->setDim(true);
  summary_->hide();
  row->addWidget(header_);
  row->addWidget(summary_, 1);
  row->addStretch(0);
  column->addLayout(row);
  body_ = new QWidget(this);
  body_layout_ = new QVBoxLayout(body_);
  body_layout_->setContentsMargins(12, 0, 0, 4);
  body_layout_->setSpacing(4);
  column->addWidget(body_);
  connect(header_, &QToolButton::toggled, this, [this](bool open) {
    body_->setVisible(open);
    summary_->setVisible(!open);
    header_->setArrowType(open ? Qt::DownArrow : Qt::RightArrow);
  });
}

void FoldingSection::setSummary(const QString& text) { summary_->setText(text); }
void FoldingSection::setHeadless() {
  header_->hide();
  summary_->hide();
  header_->setChecked(true);
}
void FoldingSection::setOpen(bool open) { header_->setChecked(open); }
bool FoldingSection::isOpen() const { return header_->isChecked(); }

bool WheelGuard::eventFilter(QObject* watched, QEvent* event) {
  if (event->type() != QEvent::Wheel || (static_cast<QWheelEvent*>(event)->modifiers() & Qt::ControlModifier))
    return QObject::eventFilter(watched, event);
  if (qobject_cast<QComboBox*>(watched) || qobject_cast<QAbstractSpinBox*>(watched) || qobject_cast<QSlider*>(watched)) {
    event->ignore();
    return true;
  }
  return QObject::eventFilter(watched, event);
}

}  // namespace lrc::app
