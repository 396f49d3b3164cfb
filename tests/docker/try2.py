import sys, time
sys.path[:0] = ["tests", "tests/docker"]
from engine import *
H=["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--network=none", "--pids-limit=64", "--memory=512m"]
with Engine("/tmp/pfdk/e", "private") as e:
  for i,(n,args) in enumerate({"plain":[], "hard":H, "hardinit":H+["--init"], "unconf":H+["--security-opt=seccomp=unconfined"], "root":["--user=0"],"roothard":["--user=0"]+H}.items()):
    print(n, e.docker("run","-d","--name",n,*args,"pinfold").stdout)
    for _ in range(20):
        r=e.docker("exec",n,"pinfold","status","--json",check=False)
        if r.returncode==0: break
        time.sleep(.2)
    print(r.stdout)
    print(e.docker("exec",n,"pinfold","status",check=False).stdout)
    t=time.time(); print(e.docker("stop",n,check=False).stdout, time.time()-t)
    print(e.docker("logs",n).stdout, e.inspect(n)["State"])
