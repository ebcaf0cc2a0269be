"""The pages for people: /docs renders /openapi.json without anything from the network, / points the way."""

from __future__ import annotations

from typing import Final

_STYLE: Final = """
:root{color-scheme:light dark;--line:#8884;--soft:#8881;--get:#2563eb;--post:#15803d;--put:#a16207}
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:2rem 1rem}
h1{margin-bottom:0}code,pre{font:13px/1.5 ui-monospace,monospace}
pre{background:var(--soft);padding:.8rem;border-radius:.4rem;overflow:auto;margin:.4rem 0}
details{border:1px solid var(--line);border-radius:.5rem;margin:.6rem 0;padding:.2rem .9rem}
summary{cursor:pointer;padding:.4rem 0}.verb{display:inline-block;min-width:3.4rem;text-align:center;color:#fff;
border-radius:.3rem;font:700 12px/1.7 ui-monospace,monospace;margin-right:.6rem}
.get{background:var(--get)}.post{background:var(--post)}.put{background:var(--put)}
h3{margin:.9rem 0 .2rem;font-size:1rem}
input{display:block;margin:.3rem 0;max-width:100%;font:inherit}
textarea{width:100%;min-height:9rem;font:13px/1.5 ui-monospace,monospace;box-sizing:border-box}
button{font:inherit;padding:.3rem 1rem;cursor:pointer}.muted{opacity:.7}
"""

_SCRIPT: Final = """
const el=(tag,props={},...kids)=>{const e=Object.assign(document.createElement(tag),props);e.append(...kids);return e};
const json=v=>el('pre',{textContent:JSON.stringify(v,null,2)});
const first=content=>Object.entries(content??{})[0]??['',{}];
function trial(method,path,op,example){
  const input=el('textarea',{value:JSON.stringify(example,null,2),ariaLabel:'request body'});
  const target=el('input',{value:path,size:60,ariaLabel:'path'}),token=el('input',{type:'password',size:60,
    autocomplete:'off',placeholder:'bearer token',ariaLabel:'bearer token'});
  const asks=[...path.includes('{')?[target]:[],...op.security?[token]:[],...example===undefined?[]:[input]];
  const out=el('pre',{hidden:true});
  const button=el('button',{textContent:'Send',onclick:async()=>{
    const options={method:method.toUpperCase(),headers:{}};
    if(example!==undefined)Object.assign(options,{body:input.value,headers:{'content-type':'application/json'}});
    if(token.value)options.headers.authorization='Bearer '+token.value;
    out.hidden=false;out.textContent='…';
    try{const r=await fetch(target.value,options),t=await r.text();
      let body=t;try{body=JSON.stringify(JSON.parse(t),null,2)}catch{}
      out.textContent=r.status+' '+r.statusText+'\\n'+body}catch(e){out.textContent=String(e)}}});
  return [...asks,button,out]}
function operation(path,method,op){
  const box=el('details',{},el('summary',{},el('span',{className:'verb '+method,textContent:method.toUpperCase()}),
    el('code',{textContent:path}),' ',el('span',{className:'muted',textContent:op.summary??''})));
  if(op.description)box.append(el('p',{textContent:op.description}));
  const [,body]=first(op.requestBody?.content);
  if(body.schema)box.append(el('h3',{textContent:'Request'}),json(body.schema));
  box.append(el('h3',{textContent:'Try it'}),...trial(method,path,op,body.example));
  box.append(el('h3',{textContent:'Responses'}));
  for(const [status,response] of Object.entries(op.responses)){
    const [type,media]=first(response.content),answer=el('details',{},
      el('summary',{},el('code',{textContent:status}),' '+response.description+' ',
        el('span',{className:'muted',textContent:type})));
    if(media.example)answer.append(json(media.example));
    box.append(answer)}
  return box}
fetch('openapi.json').then(r=>r.json()).then(doc=>{
  const root=document.getElementById('root');
  root.append(el('p',{textContent:doc.info.description}));
  for(const [path,verbs] of Object.entries(doc.paths))
    for(const [method,op] of Object.entries(verbs))if(op.responses)root.append(operation(path,method,op));
  root.append(el('h2',{textContent:'Schemas'}));
  for(const [name,schema] of Object.entries(doc.components.schemas))
    root.append(el('details',{},el('summary',{},el('code',{textContent:name}),' ',
      el('span',{className:'muted',textContent:schema.description??''})),json(schema)));
}).catch(e=>document.getElementById('root').append('openapi.json could not be read: '+e));
"""

_HEAD: Final = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" '
    'content="width=device-width,initial-scale=1"><title>Tandem</title><link rel="icon" href="data:,">'
    f"<style>{_STYLE}</style></head><body>"
)

DOCS_HTML: Final = (
    f'{_HEAD}<h1>Tandem API</h1><p class="muted"><a href="openapi.json">openapi.json</a></p><main id="root"></main>'
    f"<script>{_SCRIPT}</script></body></html>"
).encode()

INDEX_HTML: Final = (
    f'{_HEAD}<h1>Tandem</h1><p>Trip durations for ride hailing.</p><ul><li><a href="docs">Documentation</a></li>'
    '<li><a href="openapi.json">OpenAPI document</a></li><li><a href="readyz">Readiness</a></li>'
    '<li><a href="metrics">Metrics</a></li></ul></body></html>'
).encode()
