// What the export panel is made of.
#include <QClipboard>
#include <QComboBox>
#include <QDesktopServices>
#include <QFileDialog>
#include <QFormLayout>
#include <QGuiApplication>
#include <QLineEdit>
#include <QProgressBar>
#include <QScrollArea>
#include <QShortcut>
#include <QUrl>
#include <QVBoxLayout>

#include "panels/export_panel.h"
#include "panels/export_sizes.h"
#include "panels/panel_widgets.h"
#include "plot_style.h"
#include "widgets.h"

namespace lrc::app {

ExportPanel::ExportPanel(Workspace& workspace, QWidget* parent) : QWidget(parent), workspace_(workspace) {
  setObjectName("exportPanel");
  setWindowTitle(tr("Export"));
  auto* layout = make_panel_layout(this);
  controls_ = new TitleControls(this);
  auto* again = new QPushButton(tr("Check again"), this);
  again->setObjectName("exportCheckAgain");
  controls_->add(again);
  layout->addWidget(controls_);
  empty_ = new Notice(this);
  layout->addWidget(empty_);
  choices_ = new QWidget(this);
  choices_->setObjectName("exportChoices");
  choices_layout_ = new QVBoxLayout(choices_);
  choices_layout_->setContentsMargins(0, 0, 0, 0);
  choices_layout_->setSpacing(4);
  layout->addWidget(choices_);
  body_ = new QWidget(this);
  auto* columns = new QHBoxLayout(body_);
  columns->setContentsMargins(0, 0, 0, 0);
  columns->setSpacing(16);
  buildTargets(columns);
  buildMiddle(columns);
  buildResult(columns);
  layout->addWidget(body_, 1);
  layout->addStretch(0);

  connect(again, &QPushButton::clicked, this, [this] { check(); });
  connect(&workspace_, &Workspace::runProgress, this, [this](int number) {
    if (number == fixing_) showFixing();
  });
  connect(&workspace_, &Workspace::runsChanged, this, [this] {
    if (fixing_ > 0 || !workspace_.slotB().run) show();
  });
  connect(&workspace_, &Workspace::slotsChanged, this, [this] {
    followFolder();
    check();
  });
  connect(&workspace_, &Workspace::modelOpened, this, [this] { check(); });
  connect(&workspace_, &Workspace::modelClosed, this, [this] { check(); });
  auto* enter = new QShortcut(QKeySequence("Ctrl+Return"), this);
  enter->setContext(Qt::WidgetWithChildrenShortcut);
  connect(enter, &QShortcut::activated, this, [this] {
    if (export_->isEnabled()) write();
  });
  followFolder();
  check();
}

void ExportPanel::buildTargets(QHBoxLayout* columns) {
  targets_ = new ExportTargets(preflights_, body_);
  columns->addWidget(targets_);
  connect(targets_, &QListWidget::currentRowChanged, this, [this] {
    followFolder();
    show();
  });
}

void ExportPanel::buildMiddle(QHBoxLayout* columns) {
  auto* column = new QVBoxLayout;
  column->setSpacing(8);
  auto* head = new QHBoxLayout;
  head->setSpacing(8);
  heading_ = new QLabel(body_);
  heading_->setFont(font_of_points(font(), 11, true));
  consumers_ = make_dim_label({}, body_);
  consumers_->setSizePolicy(QSizePolicy::Ignored, QSizePolicy::Preferred);
  head->addWidget(heading_);
  head->addWidget(consumers_, 1);
  column->addLayout(head);
  verdict_ = new Notice(body_);
  verdict_->setObjectName("preflightVerdict");
  verdict_->button()->setObjectName("fixAll");
  column->addWidget(verdict_);
  auto* scroll = new QScrollArea(body_);
  scroll->setObjectName("preflightList");
  scroll->setAccessibleName(tr("Findings"));
  scroll->setWidgetResizable(true);
  checks_ = new QWidget(scroll);
  checks_->setBackgroundRole(QPalette::Base);
  checks_->setAutoFillBackground(true);
  checks_layout_ = new QVBoxLayout(checks_);
  checks_layout_->setContentsMargins(0, 0, 0, 0);
  checks_layout_->setSpacing(0);
  scroll->setWidget(checks_);
  column->addWidget(scroll, 1);
  computes_title_ = new QLabel(tr("<b>What the target computes</b>"), body_);
  column->addWidget(computes_title_);
  computes_ = new QLabel(body_);
  computes_->setObjectName("targetComputes");
  computes_->setTextFormat(Qt::RichText);
  computes_->setWordWrap(true);
  computes_->setMargin(8);
  computes_->setBackgroundRole(QPalette::Base);
  computes_->setAutoFillBackground(true);
  computes_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(computes_);
  verify_title_ = new QLabel(body_);
  column->addWidget(verify_title_);
  verified_ = new QLabel(body_);
  verified_->setObjectName("verifyList");
  verified_->setTextFormat(Qt::RichText);
  verified_->setWordWrap(true);
  verified_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(verified_);
  columns->addLayout(column, 1);
}

void ExportPanel::buildResult(QHBoxLayout* columns) {
  auto* side = new QWidget(body_);
  side->setFixedWidth(308);
  auto* column = new QVBoxLayout(side);
  column->setContentsMargins(0, 0, 0, 0);
  column->setSpacing(8);
  options_ = new QWidget(side);
  auto* form = new QFormLayout(options_);
  form->setContentsMargins(0, 0, 0, 0);
  form->setVerticalSpacing(4);
  base_type_ = new QComboBox(options_);
  base_type_->setObjectName("exportBaseType");
  base_type_->addItem("Q4_0", "q4_0");
  base_type_->addItem("Q4_1", "q4_1");
  pad_ = new QComboBox(options_);
  pad_->setObjectName("exportPadRank");
  pad_->addItem(tr("padded to multiples of 64"), 64);
  pad_->addItem(tr("as solved"), 1);
  form->addRow(tr("Base type"), base_type_);
  form->addRow(tr("Ranks"), pad_);
  column->addWidget(options_);
  auto* row = new QHBoxLayout;
  row->setSpacing(4);
  auto* label = make_dim_label(tr("&Folder"), side);
  folder_ = new QLineEdit(side);
  folder_->setObjectName("exportFolder");
  folder_->setAccessibleName(tr("Folder"));
  label->setBuddy(folder_);
  auto* browse = new IconButton("folder", tr("Choose the folder"), side);
  browse->setObjectName("exportBrowse");
  row->addWidget(label);
  row->addWidget(folder_, 1);
  row->addWidget(browse);
  column->addLayout(row);
  size_ = new QLabel(side);
  size_->setObjectName("exportSize");
  size_->setTextFormat(Qt::RichText);
  space_ = new QLabel(side);
  space_->setObjectName("exportRoom");
  space_->setWordWrap(true);
  column->addWidget(size_);
  parts_ = new ExportSizes(side);
  column->addWidget(parts_);
  column->addWidget(space_);
  files_ = new QLabel(side);
  files_->setObjectName("exportFiles");
  files_->setTextFormat(Qt::RichText);
  files_->setWordWrap(true);
  files_->setTextInteractionFlags(Qt::TextSelectableByMouse);
  column->addWidget(files_);
  command_title_ = new QLabel(tr("<b>Load it with</b>"), side);
  column->addWidget(command_title_);
  command_ = new QLineEdit(side);
  command_->setObjectName("loadCommand");
  command_->setAccessibleName(tr("Load it with"));
  command_->setReadOnly(true);
  command_->setFont(QFontDatabase::systemFont(QFontDatabase::FixedFont));
  column->addWidget(command_);
  auto* tools = new QHBoxLayout;
  tools->setSpacing(8);
  copy_ = new QPushButton(tr("Copy"), side);
  copy_->setObjectName("loadCommandCopy");
  open_folder_ = new QPushButton(tr("Open folder"), side);
  open_folder_->setObjectName("exportOpenFolder");
  tools->addWidget(copy_);
  tools->addWidget(open_folder_);
  tools->addStretch(1);
  column->addLayout(tools);
  column->addStretch(1);
  progress_ = new QProgressBar(side);
  progress_->setObjectName("exportProgress");
  progress_->setAccessibleName(tr("Writing"));
  column->addWidget(progress_);
  auto* buttons = new QHBoxLayout;
  buttons->setSpacing(8);
  export_ = new QPushButton(tr("Export and verify"), side);
  export_->setObjectName("exportButton");
  export_->setMinimumHeight(30);
  export_->setFont(font_of_points(font(), 9, true));
  stop_ = new QPushButton(tr("Stop"), side);
  stop_->setObjectName("exportStop");
  stop_->setMinimumHeight(30);
  buttons->addWidget(export_, 1);
  buttons->addWidget(stop_);
  column->addLayout(buttons);
  why_not_ = new QLabel(side);
  why_not_->setForegroundRole(bad_role);
  why_not_->setObjectName("exportWhyNot");
  why_not_->setWordWrap(true);
  why_not_->setAlignment(Qt::AlignHCenter);
  column->addWidget(why_not_);
  columns->addWidget(side);

  connect(base_type_, &QComboBox::currentIndexChanged, this, [this] { check(); });
  connect(pad_, &QComboBox::currentIndexChanged, this, [this] { check(); });
  connect(folder_, &QLineEdit::textChanged, this, [this] { show(); });
  connect(folder_, &QLineEdit::editingFinished, this, [this] {
    if (folder_->isModified()) check();  // the command names the folder
    folder_->setModified(false);
  });
  connect(browse, &QToolButton::clicked, this, [this] {
    const QString chosen = QFileDialog::getExistingDirectory(this, tr("Folder of the export"), folder_->text());
    if (chosen.isEmpty()) return;
    folder_->setText(chosen);
    check();
  });
  connect(export_, &QPushButton::clicked, this, [this] { write(); });
  connect(stop_, &QPushButton::clicked, this, [this] {
    workspace_.runLane().cancel("export");
    writing_ = false;
    show();
  });
  connect(copy_, &QPushButton::clicked, this, [this] { QGuiApplication::clipboard()->setText(command_->text()); });
  connect(open_folder_, &QPushButton::clicked, this, [this] { QDesktopServices::openUrl(QUrl::fromLocalFile(folder_->text())); });
}

}  // namespace lrc::app
