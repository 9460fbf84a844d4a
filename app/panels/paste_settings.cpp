#include "panels/paste_settings.h"

#include <QButtonGroup>
#include <QCheckBox>
#include <QLabel>
#include <QLineEdit>
#include <QPushButton>
#include <QRadioButton>
#include <QVBoxLayout>

#include "models/draft_edits.h"
#include "panels/panel_widgets.h"
#include "workspace.h"

namespace lrc::app {

PasteSettings::PasteSettings(Workspace& workspace, CopiedSettings settings, QWidget* parent)
    : QFrame(parent, Qt::Popup), workspace_(workspace), settings_(std::move(settings)) {
  setObjectName("pasteSettings");
  setAttribute(Qt::WA_DeleteOnClose);
  setFrameShape(QFrame::StyledPanel);
  setAutoFillBackground(true);
  auto* column = new QVBoxLayout(this);
  column->setContentsMargins(12, 8, 12, 12);
  column->setSpacing(4);
  auto* title = new QLabel(tr("Settings of %1").arg(settings_.from), this);
  title->setFont(font_of_points(font(), 9, true));
  column->addWidget(title);
  for (const SettingChoice& choice : choices_of(settings_)) {
    auto* box = new QCheckBox(QString("%1  %2").arg(choice.name, choice.value), this);
    box->setObjectName(QString("pasteField_%1").arg(int(choice.field)));
    // What most people mean by "like this one"; the rest is a click away.
    box->setChecked(choice.field == SettingField::rank || choice.field == SettingField::weight_bits || choice.field == SettingField::group);
    connect(box, &QCheckBox::toggled, this, &PasteSettings::follow);
    column->addWidget(box);
    fields_.emplace_back(choice.field, box);
  }
  column->addSpacing(4);
  auto* to = new QLabel(tr("To"), this);
  to->setFont(font_of_points(font(), 9, true));
  column->addWidget(to);
  targets_ = new QButtonGroup(this);
  const std::pair<PasteTarget, QString> targets[] = {{PasteTarget::selection, tr("the selection")},
                                                     {PasteTarget::same_role, tr("all of the current layer’s role")},
                                                     {PasteTarget::same_block, tr("all of the current layer’s block")},
                                                     {PasteTarget::pattern, tr("layers that match")}};
  for (const auto& [target, text] : targets) {
    auto* button = new QRadioButton(text, this);
    button->setObjectName(QString("pasteTarget_%1").arg(int(target)));
    targets_->addButton(button, int(target));
    column->addWidget(button);
  }
  targets_->button(int(PasteTarget::selection))->setChecked(true);
  connect(targets_, &QButtonGroup::idToggled, this, &PasteSettings::follow);
  pattern_ = new QLineEdit(this);
  pattern_->setObjectName("pastePattern");
  pattern_->setAccessibleName(tr("Layers that match"));
  pattern_->setPlaceholderText(tr("role:down block:0-3"));
  connect(pattern_, &QLineEdit::textEdited, this, [this] {
    targets_->button(int(PasteTarget::pattern))->setChecked(true);
    follow();
  });
  column->addWidget(pattern_);
  outcome_ = make_dim_label({}, this);
  outcome_->setObjectName("pasteOutcome");
  outcome_->setWordWrap(true);
  column->addWidget(outcome_);
  paste_ = new QPushButton(tr("Paste"), this);
  paste_->setObjectName("pasteButton");
  paste_->setDefault(true);
  column->addWidget(paste_);
  connect(paste_, &QPushButton::clicked, this, &PasteSettings::paste);
  setMinimumWidth(280);
  follow();
}

PasteTarget PasteSettings::target() const { return PasteTarget(targets_->checkedId()); }

std::vector<SettingField> PasteSettings::fields() const {
  std::vector<SettingField> fields;
  for (const auto& [field, box] : fields_)
    if (box->isChecked()) fields.push_back(field);
  return fields;
}

void PasteSettings::follow() {
  QString problem;
  std::size_t count = 0;
  try {
    count =
        layers_of_target(target(), *workspace_.model(), workspace_.selectedLayers(), workspace_.currentLayer(), pattern_->text()).size();
    if (count == 0) problem = tr("No layer is meant.");
    if (fields().empty()) problem = tr("No field is ticked.");
  } catch (const Error& error) {
    problem = QString::fromUtf8(error.what());
  }
  outcome_->setText(problem.isEmpty() ? tr("%1 layers").arg(count) : problem);
  paste_->setEnabled(problem.isEmpty());
}

void PasteSettings::paste() {
  const Model& model = *workspace_.model();
  const std::vector<int> layers =
      layers_of_target(target(), model, workspace_.selectedLayers(), workspace_.currentLayer(), pattern_->text());
  workspace_.editDraft(tr("Settings of %1 to %2").arg(settings_.from, QString::fromStdString(describe_layers(model, layers))),
                       with_settings(workspace_.draft(), model, settings_, fields(), layers));
  close();
}

}  // namespace lrc::app
