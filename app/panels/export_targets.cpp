#include "panels/export_targets.h"

#include <QPainter>
#include <QStyledItemDelegate>

#include "panels/check_row.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"

namespace lrc::app {

namespace {

QString text_of(std::string_view text) { return QString::fromUtf8(text.data(), qsizetype(text.size())); }

/// A target: title, consumers, counts of findings.
class TargetDelegate : public QStyledItemDelegate {
 public:
  TargetDelegate(const std::map<std::string, Preflight>& preflights, QObject* parent)
      : QStyledItemDelegate(parent), preflights_(preflights) {}
  QSize sizeHint(const QStyleOptionViewItem& option, const QModelIndex&) const override {
    return {100, 3 * option.fontMetrics.height() + 16};
  }
  void paint(QPainter* painter, const QStyleOptionViewItem& option, const QModelIndex& index) const override {
    const Colours& c = colours();
    const Exporter& exporter = exporters()[std::size_t(index.row())];
    painter->save();
    painter->fillRect(option.rect, option.state & QStyle::State_Selected ? c.selected_row : c.base);
    const int line = option.fontMetrics.height();
    QRect box = option.rect.adjusted(8, 6, -8, 0);
    painter->setPen(c.text);
    painter->setFont(font_of_points(option.font, 9, true));
    painter->drawText(QRect(box.left(), box.top(), box.width(), line), Qt::AlignLeft, text_of(exporter.title));
    painter->setFont(font_of_points(option.font, 8));
    painter->setPen(c.dim);
    painter->drawText(QRect(box.left(), box.top() + line, box.width(), line), Qt::AlignLeft,
                      option.fontMetrics.elidedText(text_of(exporter.consumers), Qt::ElideRight, box.width()));
    const auto found = preflights_.find(std::string(exporter.name));
    if (found != preflights_.end() && found->second.problem.isEmpty()) {
      int x = box.left() + 6;
      for (const CheckStatus status : {CheckStatus::ok, CheckStatus::warning, CheckStatus::refused}) {
        const int count = found->second.count(status);
        if (count == 0) continue;
        draw_status(*painter, QPointF(x, box.top() + 2.5 * line + 2), status);
        painter->setPen(status == CheckStatus::ok ? c.ok : status == CheckStatus::warning ? c.warn : c.bad);
        painter->drawText(QRect(x + 12, box.top() + 2 * line + 2, 32, line), Qt::AlignLeft | Qt::AlignVCenter, QString::number(count));
        x += 48;
      }
    }
    painter->setPen(c.grid);
    painter->drawLine(option.rect.bottomLeft(), option.rect.bottomRight());
    painter->restore();
  }

 private:
  const std::map<std::string, Preflight>& preflights_;
};

}  // namespace

ExportTargets::ExportTargets(const std::map<std::string, Preflight>& preflights, QWidget* parent) : QListWidget(parent) {
  setObjectName("targetList");
  setAccessibleName(tr("Targets"));
  setFixedWidth(240);
  setItemDelegate(new TargetDelegate(preflights, this));
  for (const Exporter& exporter : exporters()) addItem(text_of(exporter.title));
  setCurrentRow(0);
}

const Exporter* ExportTargets::current() const { return currentRow() < 0 ? nullptr : &exporters()[std::size_t(currentRow())]; }

}  // namespace lrc::app
