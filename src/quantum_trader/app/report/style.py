"""The report page's style sheet and its scripts (a crosshair over the time charts, steps from trade to trade), inlined.

Marks of trades differ in shape, not in colour alone. The colours are those of Okabe and Ito (2008), which people with
any colour vision tell apart, darker on the light page and lighter on the dark one.
"""

from __future__ import annotations

from typing import Final

# Buttons that go from trade to trade. A zoomed chart is drawn anew from the values.
TRADE_SCRIPT: Final = """
document.querySelectorAll('.frame[data-symbol]').forEach(function(frame){
  var trades=DATA.trades[frame.dataset.symbol]||[], line=DATA.prices[frame.dataset.symbol]||{ts_s:[],price:[]};
  var steps=frame.parentNode.querySelector('.steps'), whole=frame.innerHTML, now=-1, around=3;
  var text=document.createElement('span'); text.setAttribute('aria-live','polite');
  function button(name,act){var one=document.createElement('button'); one.type='button'; one.textContent=name;
    one.addEventListener('click',act); steps.appendChild(one);}
  button('first trade',function(){go(0);});
  button('previous',function(){go(now<0?trades.length-1:Math.max(0,now-1));});
  button('next',function(){go(Math.min(trades.length-1,now+1));});
  button('last trade',function(){go(trades.length-1);});
  button('wider',function(){if(now>=0){around*=2; go(now);}});
  button('closer',function(){if(now>=0){around=Math.max(around/2,0.75); go(now);}});
  button('whole',function(){now=-1; around=3; frame.innerHTML=whole; text.textContent='';});
  steps.appendChild(text);
  function minute(s){return new Date(s*1000).toISOString().slice(0,16).replace('T',' ');}
  function num(v){return v.toLocaleString('en',{maximumSignificantDigits:6});}
  function go(index){
    now=index; var t=trades[now]; if(!t) return;
    frame.innerHTML=whole;
    text.textContent=(now+1)+' of '+trades.length+': '+(t[2]>0?'LONG ':'SHORT ')+num(t[6])+' from '+minute(t[0])
      +' at '+num(t[3])+(t[5]===null?'':', first stop '+num(t[5]))+', to '+minute(t[1])+' at '+num(t[4])
      +' ('+t[9]+'), '+(t[7]===null?'':t[7].toFixed(2)+' R, ')+t[8].toFixed(2)+' USDT net, '+t[10]+' (UTC)';
    var room=Math.max(t[1]-t[0],3600)*around, from=t[0]-room, to=t[1]+room;
    frame.querySelectorAll('svg[data-left]').forEach(function(svg){draw(svg,from,to,t);});
  }
  function draw(svg,from,to,main){
    var left=+svg.dataset.left, right=+svg.dataset.right, high=svg.viewBox.baseVal.height, top=12, base=high-26;
    var near=trades.filter(function(t){return t[1]>=from&&t[0]<=to;}), points=[], values=[main[3],main[4]];
    if(main[5]!==null) values.push(main[5]);
    line.ts_s.forEach(function(s,i){if(s>=from-(to-from)&&s<=to+(to-from)){points.push([s,line.price[i]]);
      if(s>=from&&s<=to) values.push(line.price[i]);}});
    var low=Math.min.apply(null,values), most=Math.max.apply(null,values), pad=(most-low)*0.08||most*0.01;
    low-=pad; most+=pad;
    function x(s){return (left+(s-from)/(to-from)*(right-left)).toFixed(1);}
    function y(v){return (top+(most-v)/(most-low)*(base-top)).toFixed(1);}
    svg.querySelectorAll('.grid,.tick,polyline').forEach(function(one){one.remove();});
    var space=svg.namespaceURI, box=document.createElementNS(space,'svg');
    box.setAttribute('x',left); box.setAttribute('width',right-left); box.setAttribute('height',high);
    box.setAttribute('viewBox',left+' 0 '+(right-left)+' '+high);
    function label(text,at,up,anchor){var one=document.createElementNS(space,'text'); one.setAttribute('class','tick');
      one.setAttribute('x',at); one.setAttribute('y',up); one.setAttribute('text-anchor',anchor); one.textContent=text;
      svg.appendChild(one);}
    [low+pad,(low+most)/2,most-pad].forEach(function(v){label(num(+v.toPrecision(5)),left-6,+y(v)+4,'end');
      var one=document.createElementNS(space,'line'); one.setAttribute('class','grid'); one.setAttribute('x1',left);
      one.setAttribute('x2',right); one.setAttribute('y1',y(v)); one.setAttribute('y2',y(v));
      svg.insertBefore(one,svg.firstChild);});
    label(minute(from),left,high-8,'start'); label(minute(to),right,high-8,'end');
    var price=document.createElementNS(space,'polyline'); price.setAttribute('class','price curve');
    price.setAttribute('points',points.map(function(p){return x(p[0])+','+y(p[1]);}).join(' ')); box.appendChild(price);
    var d={held:'',stop:'',won:'',lost:'',long:'',short:''};
    near.forEach(function(t){var a=x(t[0]), b=x(t[1]), e=y(t[3]), o=y(t[4]);
      d.held+='M'+a+','+e+'L'+b+','+o; if(t[5]!==null) d.stop+='M'+a+','+y(t[5])+'H'+Math.max(+b,+a+3);
      d[t[2]>0?'long':'short']+='M'+a+','+e+(t[2]>0?'l-5,9h10z':'l-5,-9h10z');
      d[t[8]>0?'won':'lost']+='M'+b+','+(o-5)+'l5,5 -5,5 -5,-5z';});
    Object.keys(d).forEach(function(kind){var one=svg.querySelector('path.'+kind); if(!one) return;
      one.setAttribute('d',d[kind]); box.appendChild(one);});
    svg.appendChild(box);
  }
});
"""

STYLE: Final = """
:root{color-scheme:light dark;--page:#f6f7f9;--card:#fff;--ink:#15181d;--soft:#5b6472;--rule:#e3e6eb;--blue:#1f5fd6;
--grey:#8b94a3;--red:#c9302c;--green:#1d8a4e;--amber:#b7791f;--band1:rgba(214,158,46,.20);--band2:rgba(201,48,44,.20);--long:#0072b2;--short:#c04f00;--stop:#a3457e}
@media(prefers-color-scheme:dark){:root{--page:#0f1216;--card:#171b21;--ink:#e7eaef;--soft:#98a2b3;--rule:#2a303a;
--blue:#6ea0ff;--grey:#7a8494;--red:#f0716c;--green:#4cc38a;--amber:#e0a84a;--band1:rgba(224,168,74,.22);
--band2:rgba(240,113,108,.24);--long:#56b4e9;--short:#e69f00;--stop:#e58abf}}
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
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;width:100%;font-size:13.5px}
th{font-weight:600;color:var(--soft);text-align:right;padding:5px 8px;border-bottom:1px solid var(--rule);
white-space:nowrap}
td{padding:5px 8px;text-align:right;border-bottom:1px solid var(--rule);white-space:nowrap}
td.text{white-space:normal;overflow-wrap:anywhere;min-width:11em}
th:first-child,td:first-child,td.text,th.text{text-align:left}
tr:last-child td{border-bottom:0}
.good{color:var(--green)}.bad{color:var(--red)}
.heat td{text-align:center;border:2px solid var(--card);border-radius:4px}
.chart{width:100%;height:auto;display:block}
.chart.narrow{display:none}
.chart text{font-size:12px;fill:var(--soft);font-family:inherit}
.chart text.label{font-size:13px;fill:var(--ink)}
.grid{stroke:var(--rule)}.grid.faint{opacity:.6}
.curve{fill:none;stroke-width:1.6;stroke-linejoin:round}
.equity.curve{stroke:var(--blue)}.hold.curve{stroke:var(--grey);stroke-width:1.2}
.of-grey.curve{stroke:var(--grey)}.of-blue.curve{stroke:var(--blue)}.of-long.curve{stroke:var(--long)}
.of-short.curve{stroke:var(--short)}.of-stop.curve{stroke:var(--stop)}.of-green.curve{stroke:var(--green)}
.of-red.curve{stroke:var(--red)}.of-amber.curve{stroke:var(--amber)}
.price.curve{stroke:var(--ink);stroke-width:1.1}
.down.curve{stroke:var(--red);stroke-width:1.2}.down.fill{fill:var(--red);opacity:.16}
.band-1{fill:var(--band1)}.band-2{fill:var(--band2)}
.long{fill:var(--long);stroke:var(--card);stroke-width:.7}.short{fill:var(--short);stroke:var(--card);stroke-width:.7}
.won{fill:var(--ink)}.lost{fill:var(--card);stroke:var(--ink);stroke-width:1.2}
.stop{fill:none;stroke:var(--stop);stroke-width:1.6;stroke-dasharray:3 2}.held{fill:none;stroke:var(--soft);opacity:.75}
.trades{border-top:1px solid var(--rule);padding:8px 0}.trades>summary{color:var(--ink);font-weight:600}
.steps{display:flex;flex-wrap:wrap;gap:8px;align-items:center;font-size:13px;color:var(--soft);margin:6px 0}
.steps button{font:inherit;color:var(--ink);background:var(--page);border:1px solid var(--rule);border-radius:6px;
padding:6px 10px;min-height:36px;cursor:pointer}
.fan-1{fill:var(--blue);opacity:.14}.fan-2{fill:var(--blue);opacity:.26}
.mix-0{fill:var(--grey)}.mix-1{fill:var(--long);opacity:.55}.mix-2{fill:var(--long)}.mix-3{fill:var(--short);opacity:.55}
.mix-4{fill:var(--short)}.mix-5{fill:var(--rule)}
.fold-1{fill:var(--grey)}.fold-2{fill:var(--amber)}.fold-3{fill:var(--blue)}
.verdict{font-size:19px;font-weight:650;color:var(--ink);line-height:1.35}
.key i.half{opacity:.55}
section>*+h2{margin-top:18px}
.bar{fill:var(--blue)}.loss{fill:var(--red)}.gain{fill:var(--green)}
.key{display:flex;gap:18px;flex-wrap:wrap;font-size:13px;color:var(--soft);margin:2px 0 6px}
.key i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:6px;vertical-align:0}
.key{row-gap:4px}.key .mark{vertical-align:-3px;margin-right:5px}
.frame{position:relative}
.cross{position:absolute;top:0;bottom:26px;width:1px;background:var(--soft);opacity:.6;pointer-events:none;display:none}
.tip{position:absolute;top:8px;background:var(--card);border:1px solid var(--rule);border-radius:6px;padding:5px 9px;
font-size:12.5px;pointer-events:none;display:none;white-space:nowrap;box-shadow:0 2px 8px rgba(0,0,0,.12)}
details summary{cursor:pointer;color:var(--soft)}
pre{overflow-x:auto;font-size:12.5px;line-height:1.45;margin:10px 0 0}
@media(max-width:900px){.chart.wide text{font-size:15px}}
@media(max-width:640px){
main{padding:16px 10px 40px}section{padding:14px 12px;border-radius:8px}h1{font-size:21px}
.cards{grid-template-columns:1fr 1fr;gap:8px}.card{padding:10px}.card .value{font-size:19px}
.chart.wide{display:none}.chart.narrow{display:block}
.tip{white-space:normal;max-width:75%}td.text{min-width:9em}
th:first-child,td:first-child{position:sticky;left:0;background:var(--card);white-space:normal;min-width:6.5em}
td.text:first-child{min-width:9em;overflow-wrap:normal}
}
@media print{section,.card{break-inside:avoid}}
"""

SCRIPT: Final = """
var DATA=JSON.parse(document.getElementById('curves').textContent);
function shown(frame){
  return Array.prototype.find.call(frame.querySelectorAll('svg[data-left]'),function(one){
    return one.getBoundingClientRect().width>0;});
}
document.querySelectorAll('.frame[data-lines]').forEach(function(frame){
  var curves=DATA, at=curves.ts_s, names=JSON.parse(frame.dataset.lines);
  var cross=frame.querySelector('.cross'), tip=frame.querySelector('.tip');
  frame.addEventListener('pointermove',function(event){
    var svg=shown(frame); if(!svg) return;
    var left=+svg.dataset.left, right=+svg.dataset.right;
    var box=svg.getBoundingClientRect(), scale=svg.viewBox.baseVal.width/box.width;
    var x=(event.clientX-box.left)*scale; if(x<left||x>right){return hide();}
    var second=at[0]+(x-left)/(right-left)*(at[at.length-1]-at[0]), low=0, high=at.length-1;
    while(low<high){var middle=(low+high)>>1; if(at[middle]<second){low=middle+1;}else{high=middle;}}
    var text=new Date(at[low]*1000).toISOString().slice(0,16).replace('T',' ')+' UTC';
    Object.keys(names).forEach(function(key){var v=curves[key][low];
      if(v!==null){text+=' \\u00b7 '+names[key]+' '+v.toLocaleString('en',{maximumFractionDigits:4});}});
    tip.textContent=text; tip.style.display=cross.style.display='block';
    var pixel=event.clientX-box.left; cross.style.left=pixel+'px';
    tip.style.left=Math.max(0,Math.min(pixel+12,box.width-tip.offsetWidth-4))+'px';
  });
  function hide(){tip.style.display=cross.style.display='none';}
  frame.addEventListener('pointerleave',hide);
});
""" + TRADE_SCRIPT
