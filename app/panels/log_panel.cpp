// The log: what happened, newest last, with a switch to warnings alone.
#include <QApplication>
#include <QClipboard>
#include <QHeaderView>
#include <QTableWidget>
#include <QVBoxLayout>

#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "plot_style.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

class LogPanel : public QWidget {
 public:
  LogPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
    setObjectName("logPanel");
    setWindowTitle(tr("Log"));
    auto* column = make_panel_layout(this);
    auto* controls = new TitleControls(this);
    levels_ = new SegmentSwitch(tr("What is listed"), controls);
    levels_->setObjectName("logLevels");
    levels_->addSegment(0, tr("All"));
    levels_->addSegment(1, tr("Warnings"));
    levels_->on_change = [this](int) { fill(); };
    controls->add(levels_);
    auto* copy = new IconButton("copy", tr("Copy the log"), controls);
    copy->setObjectName("logCopy");
    connect(copy, &QToolButton::clicked, this, [this] {
      QStringList lines;
      for (const LogLine& line : workspace_.logLines()) lines << line.time + "  " + word(line.level) + "  " + line.text;
      QApplication::clipboard()->setText(lines.join('\n') + '\n');
    });
    controls->add(copy);
    column->addWidget(controls);
    table_ = new QTableWidget(0, 3, this);
    table_->setObjectName("logTable");
    table_->setAccessibleName(tr("Log"));
    table_->setHorizontalHeaderLabels({tr("Time"), tr("Kind"), tr("What happened")});
    table_->verticalHeader()->hide();
    table_->verticalHeader()->setDefaultSectionSize(20);
    table_->horizontalHeader()->setStretchLastSection(true);
    table_->horizontalHeader()->setDefaultAlignment(Qt::AlignLeft | Qt::AlignVCenter);
    table_->setColumnWidth(0, 72);
    table_->setColumnWidth(1, 72);
    table_->setShowGrid(false);
    table_->setAlternatingRowColors(true);
    table_->setEditTriggers(QAbstractItemView::NoEditTriggers);
    table_->setSelectionBehavior(QAbstractItemView::SelectRows);
    table_->setMinimumHeight(60);
    column->addWidget(table_, 1);
    connect(&workspace_, &Workspace::logged, this, [this] {
      if (!workspace_.logLines().empty()) add(workspace_.logLines().back());
    });
    fill();
  }

 private:
  static QString word(LogLevel level) {
    return level == LogLevel::error ? tr("error") : level == LogLevel::warning ? tr("warning") : tr("note");
  }

  void add(const LogLine& line) {
    if (levels_->current() == 1 && line.level == LogLevel::info) return;
    const int row = table_->rowCount();
    table_->insertRow(row);
    const QString mark = line.level == LogLevel::error ? "✗ " : line.level == LogLevel::warning ? "△ " : "";
    const QStringList cells = {line.time, mark + word(line.level), line.text};
    for (int i = 0; i < 3; ++i) {
      auto* item = new QTableWidgetItem(cells[i]);
      item->setToolTip(cells[i]);
      table_->setItem(row, i, item);
    }
    table_->scrollToBottom();
  }

  void fill() {
    table_->setRowCount(0);
    for (const LogLine& line : workspace_.logLines()) add(line);
  }

  Workspace& workspace_;
  SegmentSwitch* levels_ = nullptr;
  QTableWidget* table_ = nullptr;
};

}  // namespace

QWidget* make_log_panel(Workspace& workspace, QWidget* parent) { return new LogPanel(workspace, parent); }

}  // namespace lrc::app
