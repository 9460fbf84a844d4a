// The page that stands where a model would, when what was chosen cannot be opened: the sentence, what was read, the way out.
#include <QApplication>
#include <QClipboard>
#include <QFileInfo>
#include <QLabel>
#include <QPainter>
#include <QPushButton>
#include <QScrollArea>
#include <QTimer>
#include <QVBoxLayout>

#include "models/open_report.h"
#include "panels/check_row.h"
#include "panels/page_frame.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/tensors_window.h"
#include "plot_style.h"
#include "workspace.h"

namespace lrc::app {

namespace {

/// The mark of a line, or of the page.
class StatusMark : public QWidget {
 public:
  StatusMark(bool fine, QWidget* parent) : QWidget(parent), fine_(fine) {
    setFixedSize(20, 20);
    setAccessibleName(fine ? QObject::tr("read") : QObject::tr("at fault"));
  }

 protected:
  void paintEvent(QPaintEvent*) override {
    QPainter painter(this);
    draw_status(painter, QPointF(9, 10), fine_ ? CheckStatus::ok : CheckStatus::refused);
  }

 private:
  bool fine_;
};

class OpenReportPage : public PageFrame {
 public:
  OpenReportPage(Workspace& workspace, QWidget* parent)
      : PageFrame("openReport", tr("What could not be opened"), parent), workspace_(workspace) {
    title_ = addTitle("openReportTitle", new StatusMark(false, this));
    sentence_ = addText("openReportSentence");
    sentence_->setTextInteractionFlags(Qt::TextSelectableByMouse);
    auto* scroll = new QScrollArea(this);
    scroll->setObjectName("openReportScroll");
    scroll->setWidgetResizable(true);
    scroll->setFocusPolicy(Qt::NoFocus);
    scroll->setBackgroundRole(QPalette::Base);
    lines_ = new QWidget(scroll);
    lines_->setObjectName("openReportLines");
    lines_->setBackgroundRole(QPalette::Base);
    grid_ = new QGridLayout(lines_);
    grid_->setContentsMargins(12, 8, 12, 8);
    grid_->setHorizontalSpacing(12);
    grid_->setVerticalSpacing(4);
    grid_->setColumnStretch(2, 1);
    scroll->setWidget(lines_);
    column()->addWidget(scroll, 1);
    cause_ = addText("openReportCause");
    another_ = addButton("openReportAnother", tr("Choose another…"), [this] {
      if (auto* action = window()->findChild<QAction*>("openModelAction")) action->trigger();
    });
    addButton("openReportRetry", tr("Try again"), [this] { workspace_.drop(report_.path); });
    addButton("openReportTensors", tr("Inspect as tensors"), [this] {
      make_tensors_window(workspace_, report_.path, window())->show();
    })->setToolTip(tr("Names, shapes, distributions and spectra of what the file holds, whatever its family"));
    addButtonSpace();
    addButton("openReportCopy", tr("Copy report"), [this] { QApplication::clipboard()->setText(report_.text()); });
    back_ = addButton("openReportBack", tr("Back"), [this] { leave(); });
    connect(&workspace_, &Workspace::openFailed, this, [this](const QString& path, const QString& sentence) { examine(path, sentence); });
  }

 protected:
  void showEvent(QShowEvent* event) override {
    QWidget::showEvent(event);
    back_->setText(workspace_.hasModel() ? tr("Back to %1").arg(QString::fromStdString(workspace_.model()->display_name())) : tr("Back"));
    another_->setFocus(Qt::OtherFocusReason);
  }

  void leave() override { emit workspace_.openFailureDismissed(); }

 private:
  void examine(const QString& path, const QString& sentence) {
    report_ = {};
    report_.path = path;
    report_.sentence = sentence;
    show_report();
    // A folder of many shards takes a moment; the sentence stands at once.
    workspace_.queryLane().submit<OpenReport>(
        "open-report", this, [path, sentence](Progress&, std::stop_token) { return report_of(path, sentence); },
        [this](OpenReport report) {
          report_ = std::move(report);
          show_report();
        },
        [this](const Error& error) { workspace_.log(LogLevel::warning, QString::fromUtf8(error.what())); });
  }

  void show_report() {
    title_->setText(tr("%1 cannot be opened").arg(QFileInfo(report_.path).fileName()));
    sentence_->setText(report_.sentence);
    cause_->setText(report_.cause);
    clear_layout(*grid_);
    int row = 0;
    for (const OpenReport::Line& line : report_.lines) {
      auto* what = new QLabel(line.what, lines_);
      what->setFont(font_of_points(font(), 9, !line.fine));
      auto* fact = new QLabel(line.fact, lines_);
      fact->setWordWrap(true);
      fact->setForegroundRole(line.fine ? dim_role : QPalette::NoRole);
      fact->setTextInteractionFlags(Qt::TextSelectableByMouse);
      grid_->addWidget(new StatusMark(line.fine, lines_), row, 0, Qt::AlignTop);
      grid_->addWidget(what, row, 1, Qt::AlignTop);
      grid_->addWidget(fact, row, 2, Qt::AlignTop);
      ++row;
    }
    if (report_.lines.empty()) grid_->addWidget(make_dim_label(tr("Looking at its parts…"), lines_), row++, 1, 1, 2);
    grid_->setRowStretch(row, 1);
  }

  Workspace& workspace_;
  OpenReport report_;
  QLabel *title_ = nullptr, *sentence_ = nullptr, *cause_ = nullptr;
  QWidget* lines_ = nullptr;
  QGridLayout* grid_ = nullptr;
  QPushButton *another_ = nullptr, *back_ = nullptr;
};

}  // namespace

QWidget* make_open_report_page(Workspace& workspace, QWidget* parent) { return new OpenReportPage(workspace, parent); }

}  // namespace lrc::app
