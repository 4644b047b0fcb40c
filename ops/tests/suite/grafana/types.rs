//! Each dashboard is a value of the types that Grafana publishes, as its own compiler reads them.

use std::path::Path;
use std::process::Command;

use ops::grafana::{self, FOLDER};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::objectives;

/// Grafana's enums are written as their values in JSON, and a Prometheus query has fields that the common type leaves to
/// its plugin; everything else is as published. A field that no type knows is an error.
const PRELUDE: &str = r#"
import type { AnnotationQuery, Dashboard, DataQuery, Panel, RowPanel } from "@grafana/schema";
import type * as Graph from "@grafana/schema/dist/esm/raw/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen";
import type * as Stat from "@grafana/schema/dist/esm/raw/composable/stat/panelcfg/x/StatPanelCfg_types.gen";

type Plain<T> = T extends string ? (string extends T ? T : `${T}`)
  : T extends number ? (number extends T ? T : `${T}` extends `${infer N extends number}` ? N : never)
  : T extends Array<infer U> ? Array<Plain<U>>
  : T extends object ? { [K in keyof T]: Plain<T[K]> }
  : T;
type Query = DataQuery & { datasource: { type: string; uid: string }; expr: string; legendFormat: string; instant: boolean; range: boolean; exemplar?: boolean };
type Typed<Kind, Options, Custom> = Omit<Panel<Options, Custom>, "type" | "targets" | "options"> & { type: Kind; targets: Query[]; options: Options };
type OurPanel = Typed<"timeseries", Graph.Options, Graph.FieldConfig> | Typed<"stat", Stat.Options, {}> | (Omit<RowPanel, "type"> & { type: "row" });
type OurDashboard = Omit<Dashboard, "panels" | "annotations"> & {
  panels: OurPanel[];
  annotations: { list: Array<AnnotationQuery<Query> & { titleFormat: string }> };
};
"#;

const TSCONFIG: &str = r#"{"compilerOptions": {"strict": true, "noEmit": true, "skipLibCheck": true, "module": "esnext",
    "moduleResolution": "bundler", "target": "es2022", "types": []}, "include": ["*.ts"]}"#;

/// What the compiler says about dashboards: nothing when all is well. `None` where it is not installed.
fn compile(dashboards: &[(String, String)]) -> Option<String> {
    let node = testkit::root().join(".tools/node");
    let tsc = node.join("node_modules/.bin/tsc");
    if !tsc.is_file() {
        testkit::skip("Grafana's types");
        return None;
    }
    let directory = TempDir::new().expect("a temporary directory");
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).expect("written");
    std::os::unix::fs::symlink(node.join("node_modules"), directory.path().join("node_modules")).expect("a link");
    write("tsconfig.json", TSCONFIG);
    for (name, json) in dashboards {
        let text = format!("{PRELUDE}const a: Plain<OurDashboard> = {json};\nexport const b: Plain<Dashboard> = a;\n");
        write(&format!("{name}.ts"), &text);
    }
    let output = Command::new(tsc).current_dir(directory.path()).output().expect("the compiler starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.success(), text.is_empty(), "{text}");
    Some(text)
}

fn rendered() -> Vec<(String, String)> {
    let files = grafana::rendered(&objectives()).into_iter().filter(|file| file.path.starts_with(FOLDER));
    let stem = |path: &str| Path::new(path).file_stem().and_then(|stem| stem.to_str()).expect("a name").to_owned();
    files.map(|file| (stem(&file.path), file.text)).collect()
}

#[test]
fn every_dashboard_has_grafanas_types() {
    let dashboards = rendered();
    assert_eq!(dashboards.len(), 7);
    if let Some(errors) = compile(&dashboards) {
        assert_eq!(errors, "");
    }
}

#[test]
fn a_field_of_the_wrong_type_is_refused() {
    let cases = [
        ("/title", Value::from(7)),
        ("/graphTooltip", Value::from("crosshair")),
        ("/editable", Value::from("false")),
        ("/templating/list/1/refresh", Value::from(7)),
        ("/templating/list/1/type", Value::from("prometheus")),
        ("/panels/1/gridPos/w", Value::from("24")),
        ("/panels/1/options/colorMode", Value::from("rainbow")),
        ("/panels/1/fieldConfig/defaults/color/mode", Value::from("rainbow")),
        ("/panels/3/fieldConfig/defaults/custom/thresholdsStyle/mode", Value::from("dotted")),
        ("/panels/3/options/legend/displayMode", Value::from("cloud")),
        ("/panels/3/targets/0/expr", Value::Null),
        ("/annotations/list/0/enable", Value::from(1)),
    ];
    let (_, overview) = rendered().into_iter().find(|(name, _)| name.ends_with("overview")).expect("the overview");
    let planted = |(at, (pointer, value)): (usize, &(&str, Value))| {
        let mut json: Value = serde_json::from_str(&overview).expect("JSON");
        *json.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value.clone();
        (format!("case{at}"), json.to_string())
    };
    let mut files: Vec<_> = cases.iter().enumerate().map(planted).collect();
    let unknown = overview.replacen("\"editable\"", "\"bananas\": 1, \"editable\"", 1);
    files.push((format!("case{}", cases.len()), unknown));
    let Some(errors) = compile(&files) else { return };
    for at in 0..files.len() {
        let what = cases.get(at).map_or("an unknown field", |(pointer, _)| pointer);
        assert!(errors.contains(&format!("case{at}.ts")), "{what} is accepted\n{errors}");
    }
}
