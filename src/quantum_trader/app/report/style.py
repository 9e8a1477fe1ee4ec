"""The report page's style sheet and its one script (a crosshair over the time charts); both are inlined."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#15181d;--soft:#5b6472;--rule:#e3e6eb;--blue:#1f5fd6;
--grey:#8b94a3;--red:#c9302c;--green:#1d8a4e;--amber:#b7791f;--band1:rgba(214,158,46,.20);--band2:rgba(201,48,44,.20)}
@media(prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e7eaef;--soft:#98a2b3;--rule:#2a303a;
--blue:#6ea0ff;--grey:#7a8494;--red:#f0716c;--green:#4cc38a;--amber:#e0a84a;--band1:rgba(224,168,74,.22);
--band2:rgba(240,113,108,.24)}}
*{box-sizing:border-box}
body{margin:0;background:var(--page);color:var(--ink);
font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"DejaVu Sans",sans-serif;font-variant-numeric:tabular-nums}
main{max-width:1140px;margin:0 auto;padding:28px 20px 60px}
h1{font-size:24px;line-height:1.25;margin:0 0 4px}
h2{font-size:16px;margin:0 0 2px}
p{margin:4px 0 10px;color:var(--soft);max-width:86ch}
header p{margin:0 0 18px}
section{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:18px 20px;margin:0 0 16px}
.cards{display:grid;grid-template-columns:repeat(auto-fit,minmax(165px,1fr));gap:12px;margin-bottom:16px}
.card{background:var(--card);border:1px solid var(--rule);border-radius:10px;padding:12px 14px}
.card .name{color:var(--soft);font-size:13px}
.card .value{font-size:22px;font-weight:650;line-height:1.3}
.card .more{color:var(--soft);font-size:12.5px}
.pair{display:grid;grid-template-columns:1fr 1fr;gap:16px}
@media(max-width:860px){.pair{grid-template-columns:1fr}}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{font-weight:600;color:var(--soft);text-align:right;padding:5px 8px;border-bottom:1px solid var(--rule);
white-space:nowrap}
td{padding:5px 8px;text-align:right;border-bottom:1px solid var(--rule)}
th:first-child,td:first-child,td.text,th.text{text-align:left}
tr:last-child td{border-bottom:0}
.good{color:var(--green)}.bad{color:var(--red)}
.heat td{text-align:center;border:2px solid var(--card);border-radius:4px}
.chart{width:100%;height:auto;display:block}
.chart text{font-size:12px;fill:var(--soft);font-family:inherit}
.chart text.label{font-size:13px;fill:var(--ink)}
.grid{stroke:var(--rule)}.grid.faint{opacity:.6}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
.equity.curve{stroke:var(--blue)}.hold.curve{stroke:var(--grey);stroke-width:1.2}
.price.curve{stroke:var(--ink);stroke-width:1.1}
.down.curve{stroke:var(--red);stroke-width:1.2}.down.fill{fill:var(--red);opacity:.16}
.band-1{fill:var(--band1)}.band-2{fill:var(--band2)}
.bar{fill:var(--blue)}.loss{fill:var(--red)}.gain{fill:var(--green)}
.key{display:flex;gap:18px;flex-wrap:wrap;font-size:13px;color:var(--soft);margin:2px 0 6px}
.key i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px;vertical-align:0}
.frame{position:relative}
.cross{position:absolute;top:0;bottom:26px;width:1px;background:var(--soft);opacity:.6;pointer-events:none;display:none}
.tip{position:absolute;top:8px;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:5px 9px;
font-size:12.5px;pointer-events:none;display:none;white-space:nowrap;box-shadow:0 2px 8px rgba(0,0,0,.12)}
details summary{cursor:pointer;color:var(--soft)}
pre{overflow-x:auto;font-size:12.5px;line-height:1.45;margin:10px 0 0}
@media print{section,.card{break-inside:avoid}}
"""

SCRIPT: Final = """
document.querySelectorAll('.frame[data-lines]').forEach(function(frame){
  var svg=frame.querySelector('svg[data-left]'); if(!svg) return;
  var curves=JSON.parse(document.getElementById('curves').textContent), at=curves.ts_s;
  var names=JSON.parse(frame.dataset.lines), left=+svg.dataset.left, right=+svg.dataset.right;
  var cross=frame.querySelector('.cross'), tip=frame.querySelector('.tip');
  frame.addEventListener('mousemove',function(event){
    var box=svg.getBoundingClientRect(), scale=svg.viewBox.baseVal.width/box.width;
    var x=(event.clientX-box.left)*scale; if(x<left||x>right){return hide();}
    var second=at[0]+(x-left)/(right-left)*(at[at.length-1]-at[0]), low=0, high=at.length-1;
    while(low<high){var middle=(low+high)>>1; if(at[middle]<second){low=middle+1;}else{high=middle;}}
    var text=new Date(at[low]*1000).toISOString().slice(0,16).replace('T',' ')+' UTC';
    Object.keys(names).forEach(function(key){var v=curves[key][low];
      if(v!==null){text+=' \\u00b7 '+names[key]+' '+v.toLocaleString('en',{maximumFractionDigits:4});}});
    tip.textContent=text; tip.style.display=cross.style.display='block';
    var pixel=event.clientX-box.left; cross.style.left=pixel+'px';
    tip.style.left=Math.min(pixel+12,box.width-tip.offsetWidth-4)+'px';
  });
  function hide(){tip.style.display=cross.style.display='none';}
  frame.addEventListener('mouseleave',hide);
});
"""
